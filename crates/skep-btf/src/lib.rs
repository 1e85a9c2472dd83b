//! BTF types: read, write, dedup, lay out, print as C, relocate (CO-RE).
