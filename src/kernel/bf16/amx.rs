//! The kernel for processors with tile registers (AMX): a product of `[16, 32]` by `[32, 16]` in one instruction.
//!
//! The instructions have no stable intrinsics, so they are written in assembly.

use std::arch::asm;
use std::sync::OnceLock;

use super::Block;
use super::packed::{Rows, STRIP, TILE_ROWS, Tile};

/// Whether this processor has the instructions and the system lets this process use them.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_tiles() && system_permits())
}

/// CPUID leaf 7: bit 22 of EDX is AMX-BF16, bit 24 AMX-TILE.
fn processor_has_tiles() -> bool {
    let highest = std::arch::x86_64::__cpuid(0).eax;
    highest >= 7 && {
        let leaf = std::arch::x86_64::__cpuid_count(7, 0);
        leaf.edx & (1 << 22) != 0 && leaf.edx & (1 << 24) != 0
    }
}

/// Linux gives the tile registers to processes that ask: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
#[cfg(target_os = "linux")]
fn system_permits() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: the call takes two numbers and touches no memory of this process; older kernels answer with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn system_permits() -> bool {
    false
}

/// What `ldtilecfg` reads: the rows and the bytes a row of each tile register.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_a_row: [u16; 16],
    rows: [u8; 16],
}

/// Eight tiles of sixteen rows of 64 bytes.
static CONFIGURATION: Configuration = Configuration {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_a_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// See [`super::Kernel`].
pub(super) fn multiply(x: &Rows, strip: &[[Tile; 2]], done: &mut dyn FnMut(usize, &Block)) {
    assert!(available(), "this kernel is chosen where its instructions are");
    let mut out = [[0f32; STRIP]; 2 * TILE_ROWS];
    // SAFETY: the processor has the instructions and the system permits them; 64 bytes are read. Nothing but the assembly
    // below uses the tile registers, and they are released at the end.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack)) };
    for (first, rows) in x.pairs() {
        block(rows, strip, &mut out);
        done(first, &out);
    }
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nomem, nostack)) };
}

/// The products of two blocks of rows and a strip. The tile registers are configured.
fn block(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: &mut Block) {
    let steps = strip.len();
    assert!(steps > 0 && rows[0].len() == steps && rows[1].len() == steps);
    // SAFETY: each step reads one tile of 1 KiB from either row block and two from the strip, of which there are `steps`;
    // four tiles of sixteen rows of 64 bytes are written, 128 bytes apart, which is `out` exactly.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{first} + {tile_row}*1]",
            "tileloadd tmm6, [{strip} + {tile_row}*1]",
            "tileloadd tmm7, [{strip} + {tile_row}*1 + 1024]",
            "tileloadd tmm5, [{second} + {tile_row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {first}, 1024",
            "add {second}, 1024",
            "add {strip}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {out_row}*1], tmm0",
            "tilestored [{out} + {out_row}*1 + 64], tmm1",
            "tilestored [{out} + {out_row}*1 + 2048], tmm2",
            "tilestored [{out} + {out_row}*1 + 2112], tmm3",
            first = inout(reg) rows[0].as_ptr() => _,
            second = inout(reg) rows[1].as_ptr() => _,
            strip = inout(reg) strip.as_ptr() => _,
            steps = inout(reg) steps => _,
            out = in(reg) out.as_mut_ptr(),
            tile_row = in(reg) 64usize,
            out_row = in(reg) 128usize,
            options(nostack),
        );
    }
}
