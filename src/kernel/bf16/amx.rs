//! The kernel for processors with tile registers (AMX): a product of `[16, 32]` by `[32, 16]` in one
//! instruction.
//!
//! The instructions have no stable intrinsics, so they are written in assembly.

use std::arch::asm;
use std::sync::OnceLock;

use super::Out;
use super::packed::{TILE_ROWS, Tile};

/// Whether this processor has the instructions and the system lets this process use them.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_tiles() && system_permits())
}

/// CPUID leaf 7: bit 22 of EDX is AMX-BF16, bit 24 AMX-TILE.
#[allow(unused_unsafe, reason = "asking the processor is safe in newer toolchains")]
fn processor_has_tiles() -> bool {
    // SAFETY: every x86-64 processor has CPUID, and leaf 7 is read where there is one.
    let features = unsafe {
        match std::arch::x86_64::__cpuid(0).eax {
            ..7 => 0,
            _ => std::arch::x86_64::__cpuid_count(7, 0).edx,
        }
    };
    features & (1 << 22) != 0 && features & (1 << 24) != 0
}

/// Linux gives the tile registers to processes that ask:
/// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
#[cfg(target_os = "linux")]
fn system_permits() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let result: i64;
    // SAFETY: the call takes two numbers and touches no memory of this process; older kernels answer with an
    // error.
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

/// Gives the tile registers of this thread their shape.
pub(super) fn configure() {
    assert!(available(), "this kernel is chosen where its instructions are");
    // SAFETY: the processor has the instruction and the system permits it; the 64 bytes of the configuration
    // are read.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) };
}

/// Gives the tile registers of this thread back.
pub(super) fn release() {
    // SAFETY: the processor has the instruction; only the kernel below uses these registers.
    unsafe { asm!("tilerelease", options(nomem, nostack)) };
}

/// See [`super::Multiply`]. The tile registers of this thread are configured.
pub(super) fn multiply(rows: [&[Tile]; 2], strip: &[[Tile; 2]], out: Out<'_>, add: bool, ahead: &[Tile]) {
    let steps = strip.len();
    assert!(steps > 0 && rows[0].len() == steps && rows[1].len() == steps);
    let out_row = out.stride * size_of::<f32>();
    // SAFETY: each step reads one tile of 1 KiB from either row block and two from the strip, of which there
    // are `steps`; four tiles of sixteen rows of 64 bytes are the 32 rows of 32 numbers of `out`. Only this
    // module uses tile registers. Fetching ahead, half a KiB a step, reads nothing that the program sees and
    // may pass the end of what was given.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{out} + {out_row}*1]",
            "tileloadd tmm1, [{out} + {out_row}*1 + 64]",
            "tileloadd tmm2, [{lower} + {out_row}*1]",
            "tileloadd tmm3, [{lower} + {out_row}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{first} + {tile_row}*1]",
            "tileloadd tmm6, [{strip} + {tile_row}*1]",
            "tileloadd tmm7, [{strip} + {tile_row}*1 + 1024]",
            "tileloadd tmm5, [{second} + {tile_row}*1]",
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "prefetcht1 [{ahead} + 128]",
            "prefetcht1 [{ahead} + 192]",
            "prefetcht1 [{ahead} + 256]",
            "prefetcht1 [{ahead} + 320]",
            "prefetcht1 [{ahead} + 384]",
            "prefetcht1 [{ahead} + 448]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {first}, 1024",
            "add {second}, 1024",
            "add {strip}, 2048",
            "add {ahead}, 512",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {out_row}*1], tmm0",
            "tilestored [{out} + {out_row}*1 + 64], tmm1",
            "tilestored [{lower} + {out_row}*1], tmm2",
            "tilestored [{lower} + {out_row}*1 + 64], tmm3",
            first = inout(reg) rows[0].as_ptr() => _,
            second = inout(reg) rows[1].as_ptr() => _,
            strip = inout(reg) strip.as_ptr() => _,
            steps = inout(reg) steps => _,
            ahead = inout(reg) ahead.as_ptr() => _,
            add = in(reg) u32::from(add),
            out = in(reg) out.first,
            lower = in(reg) out.first.wrapping_add(TILE_ROWS * out.stride),
            tile_row = in(reg) 64usize,
            out_row = in(reg) out_row,
            options(nostack),
        );
    }
}

/// See [`super::MultiplyTwo`]. The tile registers of this thread are configured.
///
/// Beside four sums there are four registers for eight tiles a step, of which nine loads are enough for
/// twelve products: the strip's first parts stay while both blocks of rows meet them.
pub(super) fn multiply_two(rows: [[&[Tile]; 2]; 2], strip: [&[[Tile; 2]]; 2], out: Out<'_>, add: bool) {
    let steps = strip[0].len();
    assert!(steps > 0 && strip[1].len() == steps && rows.as_flattened().iter().all(|row| row.len() == steps));
    let out_row = out.stride * size_of::<f32>();
    let [[first_hi, second_hi], [first_lo, second_lo]] = rows.map(|part| part.map(<[Tile]>::as_ptr));
    // SAFETY: each step reads one tile of 1 KiB from either row block of each part and two from either part
    // of the strip, of which there are `steps`; four tiles of sixteen rows of 64 bytes are the 32 rows of 32
    // numbers of `out`. Only this module uses tile registers.
    unsafe {
        asm!(
            "test {add:e}, {add:e}",
            "jz 3f",
            "tileloadd tmm0, [{out} + {out_row}*1]",
            "tileloadd tmm1, [{out} + {out_row}*1 + 64]",
            "tileloadd tmm2, [{lower} + {out_row}*1]",
            "tileloadd tmm3, [{lower} + {out_row}*1 + 64]",
            "jmp 2f",
            "3:",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            "tileloadd tmm4, [{first_hi} + {tile_row}*1]",
            "tileloadd tmm6, [{strip_hi} + {tile_row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{strip_hi} + {tile_row}*1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{first_lo} + {tile_row}*1]",
            "tdpbf16ps tmm0, tmm5, tmm6",
            "tdpbf16ps tmm1, tmm5, tmm7",
            "tileloadd tmm5, [{strip_lo} + {tile_row}*1]",
            "tdpbf16ps tmm0, tmm4, tmm5",
            "tileloadd tmm5, [{strip_lo} + {tile_row}*1 + 1024]",
            "tdpbf16ps tmm1, tmm4, tmm5",
            "tileloadd tmm4, [{second_hi} + {tile_row}*1]",
            "tdpbf16ps tmm2, tmm4, tmm6",
            "tdpbf16ps tmm3, tmm4, tmm7",
            "tdpbf16ps tmm3, tmm4, tmm5",
            "tileloadd tmm5, [{strip_lo} + {tile_row}*1]",
            "tdpbf16ps tmm2, tmm4, tmm5",
            "tileloadd tmm4, [{second_lo} + {tile_row}*1]",
            "tdpbf16ps tmm2, tmm4, tmm6",
            "tdpbf16ps tmm3, tmm4, tmm7",
            "add {first_hi}, 1024",
            "add {second_hi}, 1024",
            "add {first_lo}, 1024",
            "add {second_lo}, 1024",
            "add {strip_hi}, 2048",
            "add {strip_lo}, 2048",
            "dec {steps}",
            "jnz 2b",
            "tilestored [{out} + {out_row}*1], tmm0",
            "tilestored [{out} + {out_row}*1 + 64], tmm1",
            "tilestored [{lower} + {out_row}*1], tmm2",
            "tilestored [{lower} + {out_row}*1 + 64], tmm3",
            first_hi = inout(reg) first_hi => _,
            second_hi = inout(reg) second_hi => _,
            first_lo = inout(reg) first_lo => _,
            second_lo = inout(reg) second_lo => _,
            strip_hi = inout(reg) strip[0].as_ptr() => _,
            strip_lo = inout(reg) strip[1].as_ptr() => _,
            steps = inout(reg) steps => _,
            add = in(reg) u32::from(add),
            out = in(reg) out.first,
            lower = in(reg) out.first.wrapping_add(TILE_ROWS * out.stride),
            tile_row = in(reg) 64usize,
            out_row = in(reg) out_row,
            options(nostack),
        );
    }
}
