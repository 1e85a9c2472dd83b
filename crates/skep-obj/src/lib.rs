//! Object: programs, maps, symbols; ELF in and out; linking.
