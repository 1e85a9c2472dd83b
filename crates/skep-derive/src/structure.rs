//! Reading a structure's tokens: its name, lifetimes, and fields with their rules.
//!
//! Invariants: what is read is all that the code written from it needs; whatever else a structure may have (type
//! parameters, no names) is an error at its place.

use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

/// A structure, as it was written.
pub struct Structure {
    pub name: String,
    /// What C calls it.
    pub c_name: String,
    pub span: Span,
    /// How many lifetimes it has.
    pub lifetimes: usize,
    pub fields: Vec<Field>,
}

/// One field.
pub struct Field {
    pub name: String,
    /// Its type, with `'static` in place of every lifetime.
    pub ty: String,
    pub read: bool,
    pub write: bool,
}

/// What is wrong with it, and where.
pub struct Wrong {
    what: String,
    span: Span,
}

impl Wrong {
    pub fn new(what: impl Into<String>, span: Span) -> Wrong {
        Wrong {
            what: what.into(),
            span,
        }
    }

    /// At the derive itself.
    pub fn here(what: &str) -> Wrong {
        Wrong::new(what, Span::call_site())
    }

    /// `::core::compile_error! { "what" }`, at its place.
    pub fn error(self) -> TokenStream {
        let at = |tree: TokenTree| {
            let mut tree = tree;
            tree.set_span(self.span);
            tree
        };
        let colon = |spacing| TokenTree::from(Punct::new(':', spacing));
        let word = |text: &str| TokenTree::from(Ident::new(text, self.span));
        let text = TokenTree::from(Literal::string(&self.what));
        let body = TokenStream::from_iter([at(text)]);
        let trees = [
            colon(Spacing::Joint),
            colon(Spacing::Alone),
            word("core"),
            colon(Spacing::Joint),
            colon(Spacing::Alone),
            word("compile_error"),
            TokenTree::from(Punct::new('!', Spacing::Alone)),
            TokenTree::from(Group::new(Delimiter::Brace, body)),
        ];
        trees.into_iter().map(at).collect()
    }
}

/// Reads a structure.
pub fn parse(input: TokenStream) -> Result<Structure, Wrong> {
    let mut tokens = input.into_iter().peekable();
    let mut repr_c = false;
    let mut c_name = None;
    let mut structure = None;
    while let Some(token) = tokens.next() {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.next() {
                    repr_c |= is_repr_c(&attribute);
                    if let Some(words) = bpf(&attribute) {
                        c_name = Some(name_in(words)?);
                    }
                }
            }
            TokenTree::Ident(word) if word.to_string() == "struct" => {
                structure = tokens.next();
                break;
            }
            TokenTree::Ident(word) if ["enum", "union"].contains(&word.to_string().as_str()) => {
                return Err(Wrong::new("only structures can be derived", word.span()));
            }
            _ => {}
        }
    }
    let Some(TokenTree::Ident(name)) = structure else {
        return Err(Wrong::here("only structures can be derived"));
    };
    let span = name.span();
    let mut lifetimes = 0;
    let mut depth = 0;
    let mut quoted = false;
    for token in tokens {
        let lifetime = std::mem::take(&mut quoted);
        match token {
            TokenTree::Punct(punct) => match punct.as_char() {
                '<' => depth += 1,
                '>' => depth -= 1,
                '\'' => {
                    lifetimes += 1;
                    quoted = true;
                }
                ':' => {
                    return Err(Wrong::new(
                        "bounds are not supported: a structure that programs know has lifetimes only",
                        punct.span(),
                    ));
                }
                ';' => return Err(Wrong::new("the structure has no named fields", span)),
                _ => {}
            },
            TokenTree::Ident(word) if depth > 0 && !lifetime => {
                return Err(Wrong::new(
                    "type parameters are not supported: programs know one layout",
                    word.span(),
                ));
            }
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                if !repr_c {
                    return Err(Wrong::new(
                        "programs know the structure by its layout: write #[repr(C)] above it",
                        span,
                    ));
                }
                let name = name.to_string();
                return Ok(Structure {
                    c_name: c_name.unwrap_or_else(|| name.clone()),
                    name,
                    span,
                    lifetimes,
                    fields: fields(body.stream())?,
                });
            }
            TokenTree::Group(body) if body.delimiter() == Delimiter::Parenthesis => {
                return Err(Wrong::new(
                    "the structure's fields have no names",
                    body.span(),
                ));
            }
            _ => {}
        }
    }
    Err(Wrong::new("the structure has no named fields", span))
}

fn fields(body: TokenStream) -> Result<Vec<Field>, Wrong> {
    let mut fields = Vec::new();
    let mut tokens = body.into_iter().peekable();
    let (mut read, mut write) = (false, false);
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(attribute)) = tokens.next()
                    && let Some(words) = bpf(&attribute)
                {
                    (read, write) = rules(words)?;
                }
            }
            TokenTree::Ident(word) if word.to_string() == "pub" => {
                if matches!(tokens.peek(), Some(TokenTree::Group(_))) {
                    tokens.next();
                }
            }
            TokenTree::Ident(name) => {
                // The colon.
                tokens.next();
                let ty = field_type(&mut tokens);
                fields.push(Field {
                    name: name.to_string().trim_start_matches("r#").to_owned(),
                    ty,
                    read,
                    write,
                });
                (read, write) = (false, false);
            }
            _ => {}
        }
    }
    Ok(fields)
}

/// The tokens of a type up to the comma that ends it, each lifetime made `'static`.
fn field_type(tokens: &mut impl Iterator<Item = TokenTree>) -> String {
    let mut trees = Vec::new();
    let mut depth = 0;
    for token in tokens {
        if let TokenTree::Punct(punct) = &token {
            match punct.as_char() {
                '<' => depth += 1,
                '>' => depth -= 1,
                ',' if depth == 0 => break,
                _ => {}
            }
        }
        trees.push(token);
    }
    with_static(trees.into_iter().collect()).to_string()
}

fn with_static(tokens: TokenStream) -> TokenStream {
    let mut after_quote = false;
    let change = |token: TokenTree| {
        let lifetime = after_quote;
        after_quote = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\'');
        match token {
            TokenTree::Ident(word) if lifetime => Ident::new("static", word.span()).into(),
            TokenTree::Group(group) => {
                Group::new(group.delimiter(), with_static(group.stream())).into()
            }
            other => other,
        }
    };
    tokens.into_iter().map(change).collect()
}

/// What `bpf(...)` has in its parentheses.
fn bpf(attribute: &Group) -> Option<TokenStream> {
    arguments(attribute, "bpf")
}

fn is_repr_c(attribute: &Group) -> bool {
    let words = arguments(attribute, "repr");
    let is_c =
        |token: TokenTree| matches!(token, TokenTree::Ident(word) if word.to_string() == "C");
    words.is_some_and(|words| words.into_iter().any(is_c))
}

fn arguments(attribute: &Group, name: &str) -> Option<TokenStream> {
    let mut tokens = attribute.stream().into_iter();
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(word)), Some(TokenTree::Group(words)))
            if word.to_string() == name =>
        {
            Some(words.stream())
        }
        _ => None,
    }
}

/// `read`, `write`, or both.
fn rules(words: TokenStream) -> Result<(bool, bool), Wrong> {
    let (mut read, mut write) = (false, false);
    for token in words {
        match &token {
            TokenTree::Ident(word) if word.to_string() == "read" => read = true,
            TokenTree::Ident(word) if word.to_string() == "write" => write = true,
            TokenTree::Punct(punct) if punct.as_char() == ',' => {}
            other => {
                return Err(Wrong::new(
                    "programs may `read` a field, `write` it, or both",
                    other.span(),
                ));
            }
        }
    }
    Ok((read, write))
}

/// `name = "request"`.
fn name_in(words: TokenStream) -> Result<String, Wrong> {
    let tokens: Vec<TokenTree> = words.into_iter().collect();
    if let [
        TokenTree::Ident(key),
        TokenTree::Punct(equals),
        TokenTree::Literal(text),
    ] = &tokens[..]
        && key.to_string() == "name"
        && equals.as_char() == '='
    {
        let text = text.to_string();
        let name = text.trim_matches('"');
        if name.len() + 2 == text.len()
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            return Ok(name.to_owned());
        }
    }
    let span = tokens.first().map_or_else(Span::call_site, TokenTree::span);
    Err(Wrong::new(
        "what C calls the structure: #[bpf(name = \"request\")]",
        span,
    ))
}
