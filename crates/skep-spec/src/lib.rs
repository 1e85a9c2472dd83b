//! What BPF is, as tables: opcodes, assembler, disassembler, kinds of program, map, helper and context.
