//! What semihosting offers: one argument in, the exit status out; and the two ways to die.
#![allow(unsafe_code)]

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};
use cortex_m_semihosting::debug::{self, EXIT_FAILURE, EXIT_SUCCESS};
use cortex_m_semihosting::{hprintln, nr, syscall};

/// The first argument behind the program's name, in storage of the caller's. `None` where there is
/// none; a command line that does not fit ends the program.
pub(crate) fn argument(storage: &mut [u8; 32]) -> Option<&str> {
    let mut block = [storage.as_mut_ptr() as usize, storage.len()];
    // SAFETY: the block is what SYS_GET_CMDLINE asks for, the address and length of writable
    // memory; the host writes at most so many bytes there, and the text's length into the block.
    let failed = unsafe { syscall(nr::GET_CMDLINE, &block) } != 0;
    assert!(!failed, "the command line exceeds {} bytes", storage.len());
    // SAFETY: the host has changed the length behind the compiler's back.
    let len = unsafe { (&raw mut block[1]).read_volatile() };
    let line = core::str::from_utf8(storage.get(..len)?).ok()?;
    line.split_ascii_whitespace().nth(1)
}

/// Ends QEMU with status 0 or 1.
pub(crate) fn exit(success: bool) -> ! {
    loop {
        debug::exit(if success { EXIT_SUCCESS } else { EXIT_FAILURE });
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    hprintln!("{}", info);
    exit(false)
}

// SAFETY: uses no state of the interrupted program but the frame, and does not return to it.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    hprintln!("hard fault at {:#010x}", frame.pc());
    exit(false)
}
