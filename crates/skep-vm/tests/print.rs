//! The format language of `bpf_trace_printk`.

use std::cell::RefCell;

use skep_spec::errno::Errno;
use skep_spec::insn::{Insn, alu, class, jmp};
use skep_vm::{Ctx, Env, Image, Limits, Program};

#[derive(Default)]
struct Printer(RefCell<String>);

impl Env for Printer {
    fn random_u32(&self) -> u32 {
        0
    }
    fn trace_print(&self, text: &str) {
        self.0.borrow_mut().push_str(text);
    }
    fn read_user(&self, addr: u64, out: &mut [u8]) -> Result<(), Errno> {
        let text = b"user\0";
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = *text
                .get((addr - 0x1000) as usize + index)
                .ok_or(Errno::EFAULT)?;
        }
        Ok(())
    }
}

/// Prints with the format in the context, up to three arguments.
fn print(format: &str, args: &[i32]) -> (i64, String) {
    let mut memory = format.as_bytes().to_vec();
    let mut insns = vec![Insn::mov64_imm(2, memory.len() as i32)];
    for (index, arg) in args.iter().enumerate() {
        insns.push(Insn::mov64_imm(3 + index as u8, *arg));
    }
    insns.push(Insn::call_helper(6));
    insns.push(Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0));
    let program = Program::sandboxed(Image {
        insns,
        ..Image::default()
    })
    .expect("loads");
    let env = Printer::default();
    let r0 = program
        .run(&mut Ctx::Flat(&mut memory), &env, &Limits::default())
        .expect("runs");
    (r0 as i64, env.0.into_inner())
}

#[test]
fn numbers_in_all_forms() {
    assert_eq!(
        print("%d %u %x\0", &[-1, -1, 255]),
        (16, "-1 4294967295 ff".to_owned())
    );
    assert_eq!(
        print("%ld %lx %llX\0", &[-1, -1, 171]).1,
        "-1 ffffffffffffffff AB"
    );
    assert_eq!(
        print("[%5d] [%-5d] [%05d]\0", &[42, 42, -42]).1,
        "[   42] [42   ] [-0042]"
    );
    assert_eq!(print("%c%% %s.\0", &[b'x' as i32, 0]).1, "x% .");
    assert_eq!(print("%pus %d\0", &[0x1000, 7]).1, "user 7");
}

#[test]
fn what_the_kernel_refuses() {
    let einval = -i64::from(Errno::EINVAL.0);
    for format in [
        "no end",
        "%f\0",
        "%d %d %d %d\0",
        "%\0",
        "%l\0",
        "%pz\0",
        "\u{1}\0",
    ] {
        assert_eq!(
            print(format, &[1, 2, 3]),
            (einval, String::new()),
            "{format:?}"
        );
    }
}

#[test]
fn strings_come_from_program_memory() {
    // The format itself as the string: r3 = r1.
    let mut memory = b"<%s>\0".to_vec();
    let insns = vec![
        Insn::mov64_reg(3, 1),
        Insn::alu64_imm(alu::ADD, 3, 1),
        Insn::mov64_imm(2, 5),
        Insn::call_helper(6),
        Insn::new(class::JMP | jmp::EXIT, 0, 0, 0, 0),
    ];
    let program = Program::sandboxed(Image {
        insns,
        ..Image::default()
    })
    .expect("loads");
    let env = Printer::default();
    assert_eq!(
        program
            .run(&mut Ctx::Flat(&mut memory), &env, &Limits::default())
            .expect("runs"),
        5
    );
    assert_eq!(&*env.0.borrow(), "<%s>>");
}
