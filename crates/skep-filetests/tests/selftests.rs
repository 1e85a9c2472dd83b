//! Programs that others wrote to test a kernel, against the kernel and against what their authors say of them: r0, packet
//! bytes and map contents after a run must agree.
//!
//! `SKEP_SELFTESTS` names a folder of compiled objects, such as Linux's `tools/testing/selftests/bpf/progs/*.c` made with
//! `clang -g -O2 -target bpf -mcpu=v4`. Skipped, and said, without it. `SKEP_SELFTESTS_ONLY` takes a part of
//! `object/program` to run only those. The authors' words are read from the declaration tags in the objects' own BTF.

mod frames;
mod objects;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use frames::{Sequence, any_frame};
use objects::{circumstances, contents, objects, select, tags};
use skep::btf::Btf;
use skep::engine::embedded::Verify;
use skep::engine::{RunInput, RunOutput};
use skep::obj::ParseOptions;
use skep::spec::program::ProgramType;
use skep::vm::program::Limits;
use skep::{Embedded, Engine, ErrorKind, Kernel, Object, ObjectSpec};

/// What the authors' own runner passes: 64 bytes of zero.
const ZEROES: [u8; 64] = [0; 64];
/// Generated frames that a packet program sees after the zeroes.
const FRAMES: usize = 24;
/// Stands for a pointer in the annotations: any value goes.
const POINTER_VALUE: u32 = 0xcafe_4a11;

/// What else may differ, by `object/program`, and why.
const DIFFER: &[(&str, &str)] = &[
    (
        "rcu_tasks_trace_gp/do_call_rcu_tasks_trace",
        "a grace period",
    ),
    (
        "test_core_reloc_type_id/test_core_type_id",
        "ids of the engine's own types",
    ),
    ("test_global_func16/global_func16", UNINITIALISED),
    ("test_log_buf/good_prog", "address"),
    (
        "test_sock_fields/read_sk_dst_port",
        "the kernel's test run makes a socket",
    ),
    ("verifier_basic_stack/uninitialized_stack2", UNINITIALISED),
    ("verifier_bounds/bounds_deduct_positive_overlap", DEAD),
    ("verifier_bounds/signed_unsigned_intersection32_case1", DEAD),
    ("verifier_bounds/signed_unsigned_intersection32_case2", DEAD),
    ("verifier_movsx/mov64sx_s32_varoff_2", DEAD),
    ("verifier_movsx/mov64sx_s32_varoff_3", DEAD),
    (
        "verifier_value_or_null/lookup_and_null_branch_prediction",
        DEAD,
    ),
    (
        "verifier_bpf_fastcall/bad_helper_write",
        "a stack of this machine",
    ),
    (
        "verifier_direct_packet_access/direct_packet_access_test4_write",
        ADDRESS,
    ),
    (
        "verifier_direct_packet_access/test18_imm_pkt_ptr_1",
        ADDRESS,
    ),
    (
        "verifier_direct_packet_access/test19_imm_pkt_ptr_2",
        ADDRESS,
    ),
    ("verifier_direct_packet_access/test22_x_pkt_ptr_3", ADDRESS),
    (
        "verifier_helper_access_var_len/ptr_to_mem_or_null_7",
        ADDRESS,
    ),
    (
        "verifier_iterating_callbacks/cond_break5",
        "loops until may_goto's bound, which this test's budget is below",
    ),
    ("verifier_lwt/packet_write_for_lwt_xmit", ADDRESS),
    (
        "verifier_lwt/make_headroom_for_lwt_xmit",
        "the kernel's test run adds a link layer again",
    ),
    (
        "verifier_map_ptr/ptr_read_ops_field_accepted",
        "a kernel object that is not modelled: a trap says so",
    ),
    ("verifier_raw_stack/stack_no_skb_load_bytes", UNINITIALISED),
    (
        "verifier_ref_tracking/tracking_direct_access_for_lookup",
        ADDRESS,
    ),
    ("verifier_ref_tracking/to_leak_released_ptr_reg", ADDRESS),
    ("verifier_reg_equal/subreg_equality_1", UNINITIALISED),
    (
        "verifier_spill_fill/old_stack_misc_vs_cur_scalar",
        UNINITIALISED,
    ),
    (
        "verifier_spill_fill/old_stack_misc_vs_cur_ctx_ptr",
        UNINITIALISED,
    ),
    ("verifier_stack_ptr/array_map_using_bpf_b", ADDRESS),
    (
        "verifier_subprog_precision/stack_slot_aliases_precision",
        UNINITIALISED,
    ),
];
const ADDRESS: &str = "an address becomes data";
const DEAD: &str =
    "writes r10 in code that only a verifier finds dead: refused by the embedded engine";
const UNINITIALISED: &str = "reads stack that it has not written";

/// The value that an annotation promises, as the authors' runner reads it.
fn promised(tags: &[String]) -> Option<u32> {
    let text = tags.iter().find_map(|t| t.strip_prefix("test_retval="))?;
    match text.trim_matches(['(', ')']) {
        "INT_MIN" => Some(i32::MIN as u32),
        "POINTER_VALUE" => Some(POINTER_VALUE),
        "TEST_DATA_LEN" => Some(ZEROES.len() as u32),
        hex if hex.starts_with("0x") => u32::from_str_radix(&hex[2..], 16).ok(),
        number => number.parse::<i64>().ok().map(|n| n as u32),
    }
}

/// Whether a test run of this kind needs nothing but an input.
fn runnable(kind: ProgramType) -> bool {
    kind.has_packet_access()
        || matches!(
            kind,
            ProgramType::SocketFilter | ProgramType::RawTracepoint | ProgramType::Syscall
        )
}

/// What became of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Agreed,
    Differed,
    Excused,
    /// The embedded engine refused it by the name of what it lacks.
    Refused,
    /// The embedded engine failed in another way although the kernel runs it.
    Failed,
    /// The kernel loads or runs it only with more than a test run has.
    NotByKernel,
    /// Its authors say that a verifier must refuse it.
    MeantToFail,
    NotRunnable,
}

struct Corpus {
    ours: Embedded,
    kernel: Option<Kernel>,
    frames: Vec<Vec<u8>>,
}

impl Corpus {
    /// Inputs by kind: the first is the authors' own.
    fn inputs(&self, kind: Option<ProgramType>) -> Vec<RunInput<'_>> {
        let one = |data, ctx| RunInput {
            data,
            ctx,
            repeat: 1,
        };
        match kind {
            Some(ProgramType::Syscall | ProgramType::RawTracepoint) => vec![one(&[], &ZEROES)],
            Some(kind) if kind.has_packet_access() || kind == ProgramType::SocketFilter => {
                let frames = self.frames.iter().map(|f| one(&f[..], &[]));
                std::iter::once(one(&ZEROES, &[])).chain(frames).collect()
            }
            _ => vec![one(&[], &[])],
        }
    }

    fn run(
        &self,
        spec: &ObjectSpec,
        program: &str,
        kind: Option<ProgramType>,
        promise: Option<u32>,
    ) -> (Fate, String) {
        let kernel = match &self.kernel {
            Some(kernel) => match spec.load(kernel) {
                Ok(object) => Some(object),
                Err(error) => return (Fate::NotByKernel, last_lines(&error.to_string())),
            },
            None => None,
        };
        let ours = match spec.load(&self.ours) {
            Ok(object) => object,
            Err(error) => {
                let fate = match error.kind() {
                    ErrorKind::NotSupported(_) | ErrorKind::Unresolved { .. } => Fate::Refused,
                    _ => Fate::Failed,
                };
                return (fate, last_lines(&error.to_string()));
            }
        };
        let go = |object: &Object, input: &RunInput<'_>| -> Result<RunOutput, String> {
            let program = object.program(program).map_err(|e| e.to_string())?;
            program.run_once(input).map_err(|e| e.to_string())
        };
        for (number, input) in self.inputs(kind).iter().enumerate() {
            let theirs = match kernel.as_ref().map(|object| go(object, input)) {
                Some(Ok(output)) => Some(output),
                Some(Err(why)) if number == 0 => return (Fate::NotByKernel, why),
                // The kernel does not take this packet.
                Some(Err(_)) => continue,
                None => None,
            };
            let output = match go(&ours, input) {
                Ok(output) => output,
                Err(why) => {
                    return (
                        Fate::Failed,
                        format!("input {number}: {}", last_lines(&why)),
                    );
                }
            };
            let r0 = output.retval as u32;
            // Some programs read maps that their authors' runner fills, so the kernel's answer counts where there is one.
            if number == 0
                && theirs.is_none()
                && let Some(promise) = promise
                && promise != POINTER_VALUE
                && promise != r0
            {
                return (
                    Fate::Differed,
                    format!("r0 is {r0:#x}, its authors say {promise:#x}"),
                );
            }
            let Some(theirs) = theirs else { continue };
            if theirs.retval as u32 != r0 && promise != Some(POINTER_VALUE) {
                return (
                    Fate::Differed,
                    format!(
                        "input {number}: r0 is {r0:#x}, the kernel's {:#x}",
                        theirs.retval
                    ),
                );
            }
            // Of programs that see no link layer the kernel's test run gives the packet back with that part zeroed.
            let from = match kind {
                Some(ProgramType::Xdp | ProgramType::SchedCls | ProgramType::SchedAct) => 0,
                _ => 14,
            };
            if theirs.data.len() != output.data.len()
                || theirs.data.get(from..) != output.data.get(from..)
            {
                return (
                    Fate::Differed,
                    format!(
                        "input {number}: packet {:02x?}, the kernel's {:02x?}",
                        output.data, theirs.data
                    ),
                );
            }
        }
        if let Some(kernel) = &kernel {
            let cpus = self.ours.cpus() as usize;
            let (a, b) = (contents(kernel, cpus), contents(&ours, cpus));
            for (map, entries) in &a {
                let empty = BTreeMap::new();
                let mine = b.get(map).unwrap_or(&empty);
                let differ = entries.iter().find(|(k, v)| mine.get(*k) != Some(v));
                if let Some((key, value)) = differ {
                    let told = format!(
                        "map {map} at {key:x?}: {:x?}, the kernel's {value:x?}",
                        mine.get(key)
                    );
                    return (Fate::Differed, told);
                }
                if entries.len() != mine.len() {
                    let told = format!(
                        "map {map}: {} entries, the kernel's {}",
                        mine.len(),
                        entries.len()
                    );
                    return (Fate::Differed, told);
                }
            }
        }
        (Fate::Agreed, String::new())
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("processed "))
        .collect();
    let from = lines.len().saturating_sub(3);
    let mut told = lines[from..].join(" | ");
    if from > 0 {
        told = format!("{} ... {told}", lines[0]);
    }
    told.chars().take(400).collect()
}

fn excuse(name: &str) -> Option<&'static str> {
    DIFFER
        .iter()
        .find_map(|(of, why)| (*of == name).then_some(*why))
}

#[test]
fn programs_of_others_run_as_in_the_kernel() {
    let Some(folder) = std::env::var_os("SKEP_SELFTESTS") else {
        eprintln!("skipped: SKEP_SELFTESTS names no folder of compiled objects");
        return;
    };
    let only = std::env::var("SKEP_SELFTESTS_ONLY").unwrap_or_default();
    let kernel = Kernel::new();
    if let Err(e) = &kernel {
        eprintln!("without the kernel, against the annotations only: {e}");
    }
    let limits = Limits {
        insns: Some(50_000_000),
        ..Limits::default()
    };
    let mut seq = Sequence::new(0x5e1f);
    let corpus = Corpus {
        ours: Embedded::builder()
            .limits(limits)
            .verify(Verify::Prefer)
            .build(),
        kernel: kernel.ok(),
        frames: (0..FRAMES).map(|_| any_frame(&mut seq)).collect(),
    };
    let (mut count, mut unread) = (BTreeMap::<Fate, usize>::new(), Vec::new());
    let mut wrong = Vec::new();
    for path in objects(Path::new(&folder)) {
        let file = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let object = file.split('.').next().unwrap_or(&file).to_owned();
        let options = ParseOptions {
            name: object.clone(),
            legacy_maps: true,
        };
        let spec = match ObjectSpec::parse_with(&std::fs::read(&path).unwrap(), &options) {
            Ok(spec) => spec,
            Err(error) => {
                unread.push(format!("{object}: {}", last_lines(&error.to_string())));
                continue;
            }
        };
        let tags = spec
            .object()
            .btf
            .as_ref()
            .map_or_else(HashMap::new, |b: &Arc<Btf>| tags(b));
        for program in spec.programs() {
            let name = format!("{object}/{}", program.name);
            if !name.contains(&only) {
                continue;
            }
            let function = &spec.object().functions[program.function.0];
            let tags = function
                .btf_type
                .and_then(|id| tags.get(&id))
                .map_or(&[][..], |t| &t[..]);
            let promise = promised(tags);
            let kind = program.program_type;
            let (fate, why) = if tags.iter().any(|t| t == "test_expect_failure") {
                (Fate::MeantToFail, String::new())
            } else if promise.is_none() && !kind.is_some_and(runnable) {
                (Fate::NotRunnable, String::new())
            } else {
                corpus.run(&select(&spec, &program.name), &program.name, kind, promise)
            };
            let fate = match fate {
                Fate::Differed | Fate::Failed if excuse(&name).is_some() => Fate::Excused,
                Fate::Differed if circumstances(&spec, program) => Fate::Excused,
                fate => fate,
            };
            *count.entry(fate).or_default() += 1;
            if !matches!(fate, Fate::MeantToFail | Fate::NotRunnable) {
                eprintln!("{fate:?}: {name}: {why}");
            }
            if matches!(fate, Fate::Differed | Fate::Failed) {
                wrong.push(name);
            }
        }
    }
    eprintln!("{count:?}; {} objects could not be read", unread.len());
    assert!(
        unread.is_empty(),
        "objects that could not be read:\n{}",
        unread.join("\n")
    );
    assert!(
        wrong.is_empty(),
        "{} programs differ or fail:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        count.get(&Fate::Agreed).is_some_and(|&n| n > 0),
        "no program ran: {count:?}"
    );
}
