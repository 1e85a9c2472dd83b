//! The lines within a `.map`.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use skep_diag::Span;

use super::file::{Map, Shape, Slot};
use super::token::{Lexed, Token};
use crate::map::{self, MapType};

/// What is inside the braces of a `.map` or an `inner`.
pub(super) const MAP_ATTRIBUTES: &str = "`type`, `key`, `key_size`, `value`, `value_size`, `max_entries`, `flags`, `map_extra`, \
                              `numa_node`, `pinning`, `inner {`, `[INDEX] = NAME` or `}`";

/// A line's tokens and where the line starts.
pub(super) struct Tokens<'a> {
    pub(super) line: &'a str,
    pub(super) base: usize,
    pub(super) all: Vec<Lexed<'a>>,
}

impl<'a> Tokens<'a> {
    pub(super) fn token(&self, index: usize) -> Option<&Token<'a>> {
        self.all.get(index).map(|lexed| &lexed.token)
    }

    /// The text of the tokens `from..to`, as it is written.
    pub(super) fn text(&self, from: usize, to: usize) -> &'a str {
        match (self.all.get(from), self.all.get(to.wrapping_sub(1))) {
            (Some(first), Some(last)) if from < to => &self.line[first.start..last.end],
            _ => "",
        }
    }
}

pub(super) fn blank_map(name: String, span: Span) -> Map {
    Map {
        name,
        span,
        map_type: MapType::Hash,
        key: Shape::None,
        value: Shape::None,
        max_entries: 0,
        flags: 0,
        map_extra: 0,
        numa_node: None,
        pin_by_name: false,
        inner: None,
        slots: Vec::new(),
    }
}

/// Reads one line of a map; on error says which token is wrong and why.
pub(super) fn map_attribute(
    map: &mut Map,
    map_type: &mut Option<MapType>,
    tokens: &Tokens<'_>,
) -> Result<(), (usize, String)> {
    let count = tokens.all.len();
    let number = |index: usize| match tokens.token(index) {
        Some(Token::Number(value)) => {
            u32::try_from(*value).map_err(|_| (index, "more than 32 bits".to_owned()))
        }
        _ => Err((index, "a number belongs here".to_owned())),
    };
    let only = |wanted: usize| {
        if count > wanted {
            Err((wanted, "nothing belongs here".to_owned()))
        } else {
            Ok(())
        }
    };
    if tokens.token(0) == Some(&Token::Sign("[")) {
        let index = number(1)?;
        let (Some(Token::Sign("]")), Some(Token::Sign("="))) = (tokens.token(2), tokens.token(3))
        else {
            return Err((2, "an element is written `[INDEX] = NAME`".to_owned()));
        };
        let Some(Token::Word(target)) = tokens.token(4) else {
            return Err((4, "the name of a map or a function belongs here".to_owned()));
        };
        only(5)?;
        map.slots.push(Slot {
            index,
            target: (*target).to_owned(),
            span: Span::default(),
        });
        return Ok(());
    }
    let Some(Token::Word(word)) = tokens.token(0) else {
        return Err((0, "no attribute begins like this".to_owned()));
    };
    let c_type = || match tokens.text(1, count) {
        "" => Err((1, "a C type belongs here".to_owned())),
        text => Ok(Shape::Type(text.to_owned())),
    };
    match *word {
        "type" => {
            let Some(Token::Word(name)) = tokens.token(1) else {
                return Err((1, "a kind of map belongs here".to_owned()));
            };
            *map_type = Some(
                MapType::by_name(name)
                    .ok_or_else(|| (1, format!("there is no kind of map `{name}`")))?,
            );
            only(2)?;
        }
        "key" => map.key = c_type()?,
        "value" => map.value = c_type()?,
        "key_size" | "value_size" | "max_entries" | "numa_node" => {
            let value = number(1)?;
            only(2)?;
            match *word {
                "key_size" => map.key = Shape::Size(value),
                "value_size" => map.value = Shape::Size(value),
                "max_entries" => map.max_entries = value,
                _ => map.numa_node = Some(value),
            }
        }
        "map_extra" => {
            let Some(Token::Number(value)) = tokens.token(1) else {
                return Err((1, "a number belongs here".to_owned()));
            };
            only(2)?;
            map.map_extra = *value;
        }
        "pinning" => match tokens.token(1) {
            Some(Token::Word("by_name")) if count == 2 => map.pin_by_name = true,
            Some(Token::Word("none")) if count == 2 => map.pin_by_name = false,
            _ => return Err((1, "pinning is `by_name` or `none`".to_owned())),
        },
        "flags" => map.flags = flags(tokens)?,
        _ => return Err((0, format!("a map has no attribute `{word}`"))),
    }
    Ok(())
}

fn flags(tokens: &Tokens<'_>) -> Result<u32, (usize, String)> {
    let mut flags = 0;
    for (index, lexed) in tokens.all.iter().enumerate().skip(1) {
        match &lexed.token {
            Token::Number(value) if index % 2 == 1 => {
                flags |=
                    u32::try_from(*value).map_err(|_| (index, "more than 32 bits".to_owned()))?;
            }
            Token::Word(name) if index % 2 == 1 => {
                let known = map::flags::ALL.iter().find(|(_, known)| known == name);
                flags |= known
                    .ok_or_else(|| (index, format!("there is no map flag `{name}`")))?
                    .0;
            }
            Token::Sign("|") if index % 2 == 0 => {}
            _ => {
                return Err((
                    index,
                    "flags are names or numbers with `|` between".to_owned(),
                ));
            }
        }
    }
    if tokens.all.len().is_multiple_of(2) {
        Ok(flags)
    } else {
        Err((tokens.all.len(), "a flag belongs here".to_owned()))
    }
}
