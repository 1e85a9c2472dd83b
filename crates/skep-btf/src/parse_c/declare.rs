//! The grammar of declarations: specifiers, then declarators from the inside out.
//!
//! Invariant: recursion is bounded by [`NESTING_MAX`], checked wherever a bracket opens.

use skep_spec::Malformed;

use super::token::{Token, WHAT, tokens};
use super::{CTypes, Declared};
use crate::build::{MemberDef, ParamDef, TypeDef, ValueDef};
use crate::layout::Placer;
use crate::ty::{Encoding, TypeId};

const NESTING_MAX: usize = 64;

const SIGNED: Encoding = Encoding::SIGNED;
const UNSIGNED: Encoding = Encoding::UNSIGNED;

/// Names that a BPF program always has from its headers.
const KNOWN: &[(&str, &str)] = &[
    ("u8", "unsigned char"),
    ("u16", "unsigned short"),
    ("u32", "unsigned int"),
    ("u64", "unsigned long long"),
    ("s8", "signed char"),
    ("s16", "short"),
    ("s32", "int"),
    ("s64", "long long"),
    ("size_t", "unsigned long"),
    ("ssize_t", "long"),
    ("uintptr_t", "unsigned long"),
    ("pid_t", "int"),
];

pub(super) fn declarations(types: &mut CTypes, text: &str) -> Result<Vec<Declared>, Malformed> {
    let mut parser = Parser {
        types,
        tokens: tokens(text)?,
        at: 0,
        nesting: 0,
    };
    let mut declared = Vec::new();
    while parser.peek() != Token::End {
        if !parser.eat(';') {
            parser.declaration(&mut declared)?;
        }
    }
    Ok(declared)
}

pub(super) fn type_name(types: &mut CTypes, text: &str) -> Result<TypeId, Malformed> {
    let mut parser = Parser {
        types,
        tokens: tokens(text)?,
        at: 0,
        nesting: 0,
    };
    let base = parser.specifier()?;
    let (name, id) = parser.declarator(base)?;
    if !name.is_empty() || parser.peek() != Token::End {
        return parser.bad("a type and nothing else");
    }
    Ok(id)
}

struct Parser<'a, 't> {
    types: &'t mut CTypes,
    tokens: Vec<(usize, Token<'a>)>,
    at: usize,
    nesting: usize,
}

impl<'a> Parser<'a, '_> {
    fn peek(&self) -> Token<'a> {
        self.tokens
            .get(self.at)
            .map_or(Token::End, |&(_, token)| token)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Token::Mark(mark);
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Token::Word(word);
        self.at += usize::from(found);
        found
    }

    fn fail<T>(&self, why: String) -> Result<T, Malformed> {
        let offset = self
            .tokens
            .get(self.at)
            .or(self.tokens.last())
            .map_or(0, |&(offset, _)| offset);
        Err(Malformed::new(WHAT, offset, why))
    }

    fn bad<T>(&self, wanted: &str) -> Result<T, Malformed> {
        let found = match self.peek() {
            Token::Word(word) => format!("{word:?}"),
            Token::Number(number) => number.to_string(),
            Token::Mark(mark) => format!("{mark:?}"),
            Token::End => "the end".into(),
        };
        self.fail(format!("found {found}, wanted {wanted}"))
    }

    fn expect(&mut self, mark: char) -> Result<(), Malformed> {
        if self.eat(mark) {
            Ok(())
        } else {
            self.bad(&format!("{mark:?}"))
        }
    }

    fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return self.fail("nested too deeply".into());
        }
        let result = parse(self);
        self.nesting -= 1;
        result
    }

    fn number(&mut self) -> Result<i128, Malformed> {
        let negative = self.eat('-');
        let value = match self.peek() {
            Token::Number(number) => number,
            Token::Word(name) if self.types.enumerators.contains_key(name) => {
                self.types.enumerators[name].into()
            }
            _ => return self.bad("an integer"),
        };
        self.at += 1;
        Ok(if negative {
            value.saturating_neg()
        } else {
            value
        })
    }

    /// Skips attributes; whether one was `packed`.
    fn attributes(&mut self) -> Result<bool, Malformed> {
        let mut packed = false;
        while self.eat_word("__attribute__") {
            let mut open = 0;
            loop {
                match self.next() {
                    Token::Mark('(') => open += 1,
                    Token::Mark(')') => open -= 1,
                    Token::Word("packed" | "__packed__") => packed = true,
                    Token::End => return self.bad("the end of the attribute"),
                    _ => {}
                }
                if open == 0 {
                    break;
                }
            }
        }
        Ok(packed)
    }

    fn declaration(&mut self, declared: &mut Vec<Declared>) -> Result<(), Malformed> {
        let typedef = self.eat_word("typedef");
        while self.eat_word("extern") || self.eat_word("static") {}
        let before = self.types.builder.next_id();
        let base = self.specifier()?;
        if matches!(
            self.types.builder.def(base),
            Some(
                TypeDef::Struct { .. }
                    | TypeDef::Union { .. }
                    | TypeDef::Enum { .. }
                    | TypeDef::Enum64 { .. }
            )
        ) && base >= before
            || self.peek() == Token::Mark(';')
        {
            let name = match self.types.builder.def(base) {
                Some(
                    TypeDef::Struct { name, .. }
                    | TypeDef::Union { name, .. }
                    | TypeDef::Enum { name, .. }
                    | TypeDef::Enum64 { name, .. },
                ) => name.clone(),
                _ => String::new(),
            };
            if !(name.is_empty() && typedef) {
                declared.push(Declared::Tag { name, id: base });
            }
        }
        if self.eat(';') {
            return Ok(());
        }
        loop {
            let (name, id) = self.declarator(base)?;
            if name.is_empty() {
                return self.bad("a name");
            }
            self.attributes()?;
            let name = name.to_owned();
            declared.push(if typedef {
                let id = self.types.builder.add_typedef(&name, id);
                self.types.typedefs.insert(name.clone(), id);
                Declared::Typedef { name, id }
            } else if let Some(TypeDef::FuncProto { .. }) = self.types.builder.def(id) {
                Declared::Function { name, proto: id }
            } else {
                Declared::Variable { name, ty: id }
            });
            if !self.eat(',') {
                break;
            }
        }
        self.expect(';')
    }

    /// What comes before the declarators: qualifiers and the type they start from.
    fn specifier(&mut self) -> Result<TypeId, Malformed> {
        let (mut is_const, mut is_volatile) = (false, false);
        let mut words: Vec<&str> = Vec::new();
        let mut base = None;
        while let Token::Word(word) = self.peek() {
            match word {
                "const" => is_const = true,
                "volatile" => is_volatile = true,
                "struct" | "union" if base.is_none() && words.is_empty() => {
                    self.at += 1;
                    base = Some(self.deeper(|parser| parser.composite(word == "union"))?);
                    continue;
                }
                "enum" if base.is_none() && words.is_empty() => {
                    self.at += 1;
                    base = Some(self.enumeration()?);
                    continue;
                }
                "void" if base.is_none() && words.is_empty() => base = Some(TypeId::VOID),
                "char" | "short" | "int" | "long" | "signed" | "unsigned" | "_Bool" | "bool"
                | "float" | "double" | "__int128"
                    if base.is_none() =>
                {
                    words.push(word);
                }
                _ if base.is_none() && words.is_empty() => base = Some(self.named(word)?),
                _ => break,
            }
            self.at += 1;
        }
        let mut id = match (base, words.is_empty()) {
            (Some(id), _) => id,
            (None, false) => self.builtin(&words)?,
            (None, true) => return self.bad("a type"),
        };
        if is_volatile {
            id = self.types.derive(TypeDef::Volatile { target: id });
        }
        if is_const {
            id = self.types.derive(TypeDef::Const { target: id });
        }
        Ok(id)
    }

    fn builtin(&mut self, words: &[&str]) -> Result<TypeId, Malformed> {
        let count = |wanted: &str| words.iter().filter(|&&word| word == wanted).count();
        let unsigned = count("unsigned") > 0;
        let pick =
            |signed: &'static str, plain: &'static str| if unsigned { plain } else { signed };
        let encoding = if unsigned { UNSIGNED } else { SIGNED };
        let (name, size) = match () {
            () if count("float") > 0 => {
                return Ok(self.types.derive(TypeDef::Float {
                    name: "float".into(),
                    size: 4,
                }));
            }
            () if count("double") > 0 => {
                return Ok(self.types.derive(TypeDef::Float {
                    name: "double".into(),
                    size: 8,
                }));
            }
            () if count("_Bool") + count("bool") > 0 => {
                return Ok(self.types.int("_Bool", 1, Encoding::BOOL));
            }
            () if count("char") > 0 && count("signed") > 0 => ("signed char", 1),
            () if count("char") > 0 => (pick("char", "unsigned char"), 1),
            () if count("short") > 0 => (pick("short", "unsigned short"), 2),
            () if count("__int128") > 0 => (pick("__int128", "unsigned __int128"), 16),
            () if count("long") > 1 => (pick("long long", "unsigned long long"), 8),
            () if count("long") > 0 => (pick("long", "unsigned long"), 8),
            () => (pick("int", "unsigned int"), 4),
        };
        Ok(self.types.int(name, size, encoding))
    }

    fn named(&mut self, name: &str) -> Result<TypeId, Malformed> {
        if let Some(&id) = self.types.typedefs.get(name) {
            return Ok(id);
        }
        let plain = name.strip_prefix("__").unwrap_or(name);
        let plain = match plain {
            "uint8_t" | "be8" => "u8",
            "uint16_t" | "be16" | "le16" => "u16",
            "uint32_t" | "be32" | "le32" | "wsum" => "u32",
            "uint64_t" | "be64" | "le64" => "u64",
            "int8_t" => "s8",
            "int16_t" => "s16",
            "int32_t" => "s32",
            "int64_t" => "s64",
            other => other,
        };
        let Some((_, words)) = KNOWN.iter().find(|(known, _)| *known == plain) else {
            return self.fail(format!("the type {name:?} is not known; declare it first"));
        };
        let words: Vec<&str> = words.split(' ').collect();
        let target = self.builtin(&words)?;
        let id = self.types.builder.add_typedef(name, target);
        self.types.typedefs.insert(name.into(), id);
        Ok(id)
    }

    fn tag(&mut self, word: &str) -> (String, Option<TypeId>) {
        let name = match self.peek() {
            Token::Word(name) => {
                self.at += 1;
                name.to_owned()
            }
            _ => String::new(),
        };
        let id = if name.is_empty() {
            None
        } else {
            self.types.tags.get(&format!("{word} {name}")).copied()
        };
        (name, id)
    }

    fn composite(&mut self, union: bool) -> Result<TypeId, Malformed> {
        let word = if union { "union" } else { "struct" };
        let mut packed = self.attributes()?;
        let (name, known) = self.tag(word);
        let id = match known {
            Some(id) => id,
            None if name.is_empty() && self.peek() != Token::Mark('{') => {
                return self.bad("a name or '{'");
            }
            None => {
                let id = self.types.builder.declare();
                self.types.incomplete.insert(id, union);
                if !name.is_empty() {
                    self.types.tags.insert(format!("{word} {name}"), id);
                }
                id
            }
        };
        if !self.eat('{') {
            return Ok(id);
        }
        if !self.types.incomplete.contains_key(&id) {
            return self.fail(format!("{word} {name} is defined twice"));
        }
        let mut fields: Vec<(String, TypeId, Option<u32>)> = Vec::new();
        while !self.eat('}') {
            self.fields(&mut fields)?;
        }
        packed |= self.attributes()?;
        let mut placer = Placer::new(union, packed);
        let mut members = Vec::new();
        for (field, ty, width) in fields {
            let Some((size, align)) = self.types.shape(ty) else {
                return self.fail(format!(
                    "the type of {field} in {word} {name} is not complete"
                ));
            };
            let at = match width {
                Some(width) => placer.bitfield(size, width),
                None => placer.field(size, align),
            };
            let Some(bit_offset) = at else {
                return self.fail(format!("{word} {name} is too large"));
            };
            if field.is_empty() && width.is_some() {
                continue;
            }
            members.push(MemberDef {
                name: field,
                ty,
                bit_offset,
                bitfield_size: width.unwrap_or(0) as u8,
            });
        }
        let (size, align) = placer.finish();
        self.types.aligns.insert(id, align);
        self.types.incomplete.remove(&id);
        let def = if union {
            TypeDef::Union {
                name,
                size,
                members,
            }
        } else {
            TypeDef::Struct {
                name,
                size,
                members,
            }
        };
        match self.types.builder.define(id, def) {
            Ok(()) => Ok(id),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn fields(&mut self, fields: &mut Vec<(String, TypeId, Option<u32>)>) -> Result<(), Malformed> {
        let base = self.specifier()?;
        if self.eat(';') {
            // An anonymous struct or union: its members count as those of this one.
            fields.push((String::new(), base, None));
            return Ok(());
        }
        loop {
            let (name, id) = if self.peek() == Token::Mark(':') {
                ("", base)
            } else {
                self.declarator(base)?
            };
            let width = if self.eat(':') {
                let width = self.number()?;
                let size = self.types.shape(id).map_or(0, |(size, _)| size);
                if width < 0
                    || width > i128::from(size) * 8
                    || width > 255
                    || width == 0 && !name.is_empty()
                {
                    return self.fail(format!(
                        "a bit-field of {width} bits in a type of {size} bytes"
                    ));
                }
                Some(width as u32)
            } else if name.is_empty() {
                return self.bad("a name");
            } else {
                None
            };
            self.attributes()?;
            fields.push((name.to_owned(), id, width));
            if !self.eat(',') {
                break;
            }
        }
        self.expect(';')
    }

    fn enumeration(&mut self) -> Result<TypeId, Malformed> {
        let (name, known) = self.tag("enum");
        if !self.eat('{') {
            return match known {
                Some(id) => Ok(id),
                None => self.fail(format!("enum {name} is not known; declare it first")),
            };
        }
        let mut values: Vec<ValueDef> = Vec::new();
        let mut next = 0_i128;
        let (mut least, mut most) = (0_i128, 0_i128);
        while !self.eat('}') {
            let Token::Word(value) = self.peek() else {
                return self.bad("an enumerator");
            };
            self.at += 1;
            if self.eat('=') {
                next = self.number()?;
            }
            if next < i128::from(i64::MIN) || next > i128::from(u64::MAX) {
                return self.fail(format!("the value {next} does not fit 64 bits"));
            }
            least = least.min(next);
            most = most.max(next);
            values.push(ValueDef {
                name: value.into(),
                value: next as u64,
            });
            self.types
                .enumerators
                .insert(value.into(), next as u64 as i64);
            next += 1;
            if !self.eat(',') {
                self.expect('}')?;
                break;
            }
        }
        self.attributes()?;
        let signed = least < 0;
        let narrow = least >= i32::MIN.into()
            && most
                <= if signed {
                    i32::MAX.into()
                } else {
                    u32::MAX.into()
                };
        let tag = name.clone();
        let id = self.types.builder.add(if narrow {
            TypeDef::Enum {
                name,
                size: 4,
                signed,
                values,
            }
        } else {
            TypeDef::Enum64 {
                name,
                size: 8,
                signed,
                values,
            }
        });
        if !tag.is_empty() {
            self.types.tags.insert(format!("enum {tag}"), id);
        }
        Ok(id)
    }

    /// A name with what stands around it, and the type that makes of `base`.
    fn declarator(&mut self, base: TypeId) -> Result<(&'a str, TypeId), Malformed> {
        let mut id = base;
        for links in 0.. {
            if links > NESTING_MAX {
                return self.fail("nested too deeply".into());
            }
            if self.eat('*') {
                id = self.types.derive(TypeDef::Ptr { target: id });
            } else if self.eat_word("const") {
                id = self.types.derive(TypeDef::Const { target: id });
            } else if self.eat_word("volatile") {
                id = self.types.derive(TypeDef::Volatile { target: id });
            } else if self.eat_word("restrict") || self.eat_word("__restrict") {
                id = self.types.derive(TypeDef::Restrict { target: id });
            } else {
                break;
            }
        }
        if self.peek() == Token::Mark('(')
            && self
                .tokens
                .get(self.at + 1)
                .is_some_and(|&(_, token)| token == Token::Mark('*'))
        {
            // What is in the brackets applies to what comes behind them, so that is read first.
            let inside = self.at + 1;
            self.at = inside;
            let mut open = 1;
            while open > 0 {
                match self.next() {
                    Token::Mark('(') => open += 1,
                    Token::Mark(')') => open -= 1,
                    Token::End => return self.bad("')'"),
                    _ => {}
                }
            }
            let id = self.suffixes(id)?;
            let behind = std::mem::replace(&mut self.at, inside);
            let declared = self.deeper(|parser| parser.declarator(id))?;
            self.expect(')')?;
            self.at = behind;
            return Ok(declared);
        }
        let name = match self.peek() {
            Token::Word(name) => {
                self.at += 1;
                name
            }
            _ => "",
        };
        Ok((name, self.suffixes(id)?))
    }

    fn suffixes(&mut self, base: TypeId) -> Result<TypeId, Malformed> {
        if self.eat('[') {
            let len = if self.peek() == Token::Mark(']') {
                0
            } else {
                self.number()?
            };
            let Ok(len) = u32::try_from(len) else {
                return self.fail(format!("an array of {len} elements"));
            };
            self.expect(']')?;
            let elem = self.deeper(|parser| parser.suffixes(base))?;
            let index = self.types.int("__ARRAY_SIZE_TYPE__", 4, UNSIGNED);
            return Ok(self.types.derive(TypeDef::Array { elem, index, len }));
        }
        if self.eat('(') {
            let params = self.deeper(Parser::params)?;
            return Ok(self.types.derive(TypeDef::FuncProto { ret: base, params }));
        }
        Ok(base)
    }

    fn params(&mut self) -> Result<Vec<ParamDef>, Malformed> {
        let mut params = Vec::new();
        if self.eat(')') {
            return Ok(params);
        }
        loop {
            if self.eat('…') {
                params.push(ParamDef {
                    name: String::new(),
                    ty: TypeId::VOID,
                });
                break;
            }
            let base = self.specifier()?;
            let (name, ty) = self.declarator(base)?;
            if ty == TypeId::VOID && name.is_empty() && params.is_empty() {
                break;
            }
            params.push(ParamDef {
                name: name.into(),
                ty,
            });
            if !self.eat(',') {
                break;
            }
        }
        self.expect(')')?;
        Ok(params)
    }
}
