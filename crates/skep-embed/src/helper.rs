//! From a closure to a helper: its prototype, which the verifier goes by, and the code around it.
//!
//! Invariants: prototype and code come from the same types, so that they cannot differ; the state that a closure gets is
//! the one that the plug-in was called with.

use std::any::Any;
use std::sync::Arc;

use skep_spec::errno::Errno;
use skep_spec::helper::{ArgKind, ArgType, Helper, ProgramSet, RetKind, RetType};
use skep_vm::Trap;
use skep_vm::helper::{Arguments, OwnHelper, OwnHelperFn, failure};

use crate::argument::Argument;

/// What a helper can answer with.
pub trait Answer {
    /// What C declares.
    const C: &'static str;
    const KIND: RetKind = RetKind::Integer;
    /// r0.
    fn register(self) -> u64;
}

macro_rules! answers {
    ($($number:ty, $c:literal;)*) => {
        $(
            impl Answer for $number {
                const C: &'static str = $c;

                fn register(self) -> u64 {
                    self as u64
                }
            }
        )*
    };
}

answers! {
    u64, "__u64";
    i64, "__s64";
    u32, "__u32";
    i32, "__s32";
    bool, "_Bool";
}

impl Answer for () {
    const C: &'static str = "void";
    const KIND: RetKind = RetKind::Void;

    fn register(self) -> u64 {
        0
    }
}

/// The value, or the negative number of the error.
impl<A: Answer> Answer for Result<A, Errno> {
    const C: &'static str = "long";

    fn register(self) -> u64 {
        match self {
            Ok(answer) => answer.register(),
            Err(errno) => failure(errno),
        }
    }
}

/// A helper and how C declares it.
#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub helper: OwnHelper,
    pub c: String,
}

fn declared(
    name: &'static str,
    number: u32,
    takes: &[&[ArgType]],
    parameters: &[String],
    (kind, c): (RetKind, &str),
    run: Arc<OwnHelperFn>,
) -> Result<Declared, String> {
    let taken: Vec<ArgType> = takes.iter().flat_map(|arg| arg.iter().copied()).collect();
    let mut args = [ArgType {
        kind: ArgKind::None,
        modifiers: 0,
        size: 0,
        of: "",
    }; 5];
    let Some(used) = args.get_mut(..taken.len()) else {
        return Err(format!(
            "helper `{name}` takes {} registers; there are five, and a slice takes two",
            taken.len()
        ));
    };
    used.copy_from_slice(&taken);
    let parameters = match parameters {
        [] => "void".to_owned(),
        some => some.join(", "),
    };
    Ok(Declared {
        c: format!("static {c} (*const {name})({parameters}) = (void *){number};"),
        helper: OwnHelper {
            prototype: Helper {
                id: number,
                name,
                since: "",
                flags: Helper::PACKET_ACCESS,
                args,
                ret: RetType {
                    kind,
                    nullable: false,
                    of: "",
                },
                programs: ProgramSet::all(),
            },
            run,
        },
    })
}

/// A closure that takes the state and arguments.
pub trait IntoHelper<S, Parameters> {
    #[doc(hidden)]
    fn into_helper(self, name: &'static str, number: u32) -> Result<Made, String>;
}

/// A closure that takes arguments only.
pub trait IntoFunction<Parameters> {
    #[doc(hidden)]
    fn into_function(self, name: &'static str, number: u32) -> Result<Made, String>;
}

/// What becomes of a closure.
pub struct Made(pub(crate) Declared);

fn state<'p, S: Any>(arguments: &Arguments<'_, '_, 'p>) -> Result<&'p S, Trap> {
    let state = arguments
        .state()
        .and_then(|state| state.downcast_ref::<S>());
    state.ok_or_else(|| {
        arguments.refuse("the run has not the state that the plug-in is called with")
    })
}

macro_rules! closures {
    ($($parameter:ident $held:ident $name:literal),*) => {
        impl<S, F, R, $($parameter),*> IntoHelper<S, fn($($parameter),*) -> R> for F
        where
            S: Any,
            R: Answer,
            $($parameter: Argument,)*
            F: Fn(&S, $($parameter),*) -> R
                + for<'h> Fn(&S, $(<$parameter as Argument>::As<'h>),*) -> R
                + Send
                + Sync
                + 'static,
        {
            #[allow(unused_variables, unused_mut, unused_assignments, non_snake_case)]
            fn into_helper(self, name: &'static str, number: u32) -> Result<Made, String> {
                let run = move |arguments: &mut Arguments<'_, '_, '_>| {
                    let state = state::<S>(arguments)?;
                    let mut at = 0;
                    $(
                        let $parameter = at;
                        let mut $held = <$parameter as Argument>::hold(arguments, at)?;
                        at += <$parameter as Argument>::TAKES.len();
                    )*
                    let answer = self(state, $(<$parameter as Argument>::lend(&mut $held)),*);
                    $(<$parameter as Argument>::give_back($held, arguments, $parameter)?;)*
                    Ok(answer.register())
                };
                declared(
                    name,
                    number,
                    &[$(<$parameter as Argument>::TAKES),*],
                    &[$(<$parameter as Argument>::declare($name)),*],
                    (R::KIND, R::C),
                    Arc::new(run),
                )
                .map(Made)
            }
        }

        impl<F, R, $($parameter),*> IntoFunction<fn($($parameter),*) -> R> for F
        where
            R: Answer,
            $($parameter: Argument,)*
            F: Fn($($parameter),*) -> R
                + for<'h> Fn($(<$parameter as Argument>::As<'h>),*) -> R
                + Send
                + Sync
                + 'static,
        {
            #[allow(unused_variables, unused_mut, unused_assignments, non_snake_case)]
            fn into_function(self, name: &'static str, number: u32) -> Result<Made, String> {
                let run = move |arguments: &mut Arguments<'_, '_, '_>| {
                    let mut at = 0;
                    $(
                        let $parameter = at;
                        let mut $held = <$parameter as Argument>::hold(arguments, at)?;
                        at += <$parameter as Argument>::TAKES.len();
                    )*
                    let answer = self($(<$parameter as Argument>::lend(&mut $held)),*);
                    $(<$parameter as Argument>::give_back($held, arguments, $parameter)?;)*
                    Ok(answer.register())
                };
                declared(
                    name,
                    number,
                    &[$(<$parameter as Argument>::TAKES),*],
                    &[$(<$parameter as Argument>::declare($name)),*],
                    (R::KIND, R::C),
                    Arc::new(run),
                )
                .map(Made)
            }
        }
    };
}

closures!();
closures!(A a "a");
closures!(A a "a", B b "b");
closures!(A a "a", B b "b", C c "c");
closures!(A a "a", B b "b", C c "c", D d "d");
closures!(A a "a", B b "b", C c "c", D d "d", E e "e");
