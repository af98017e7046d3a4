//! What leaving user code costs, through the whole port: system calls, exceptions, page faults, changes of
//! mappings, new address spaces and contexts. Run with `--release`.

use std::sync::Arc;
use std::time::Instant;

use platform_kvm::{Config, KvmPlatform};
use sentry::platform::{
    Access, AddressSpace, Context, Exit, FrameRun, GuestAddress, PAGE_SIZE, Platform, Registers,
    VirtualAddress, VirtualRange,
};

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x1000_0000;
const RW: Access = Access::READ.union(Access::WRITE);
const RX: Access = Access::READ.union(Access::EXECUTE);
const LARGE: u64 = 2 << 20;

type Error = Box<dyn std::error::Error>;

struct Bench {
    platform: Arc<KvmPlatform>,
    next: u64,
}

impl Bench {
    fn frames(&mut self, pages: usize) -> Result<FrameRun, Error> {
        let start = GuestAddress(self.next);
        self.next += (pages as u64 * PAGE_SIZE).next_multiple_of(LARGE);
        self.platform.extend_memory(self.next - self.platform.memory().start().0)?;
        self.platform.memory().populate(start, pages * PAGE_SIZE as usize)?;
        Ok(FrameRun { start, pages })
    }

    fn space(&mut self, code: &[u8]) -> Result<Arc<dyn AddressSpace>, Error> {
        let space = self.platform.new_address_space()?;
        let frame = self.frames(1)?;
        self.platform.memory().slice(frame.start, code.len())?.copy_from(code);
        space.map(VirtualAddress(CODE), &[frame], RX)?;
        Ok(space)
    }
}

fn main() -> Result<(), Error> {
    let begun = Instant::now();
    let platform = KvmPlatform::new(Config { memory_bytes: 1 << 30, ..Config::default() })?;
    print("platform", begun, 1);
    let next = platform.memory().start().0;
    let mut bench = Bench { platform, next };
    exits(&mut bench)?;
    changes(&mut bench)?;
    touches(&mut bench)?;
    lives(&mut bench)
}

/// Exits that change nothing.
fn exits(bench: &mut Bench) -> Result<(), Error> {
    const COUNT: u32 = 20_000;
    let mut context = bench.platform.new_context()?;
    // 1: syscall; jmp 1b
    let space = bench.space(&[0x0f, 0x05, 0xeb, 0xfc])?;
    let mut registers = start();
    repeat("system call", COUNT, || run(&mut context, &space, &mut registers).map(drop))?;
    let space = bench.space(&[0x0f, 0x0b])?;
    repeat("undefined instruction", COUNT, || run(&mut context, &space, &mut start()).map(drop))?;
    let space = bench.space(&[0x48, 0x8b, 0x07])?;
    repeat("page fault", COUNT, || run(&mut context, &space, &mut start()).map(drop))
}

/// Changes of what is mapped.
fn changes(bench: &mut Bench) -> Result<(), Error> {
    const COUNT: u32 = 2_000;
    let space = bench.space(&[0])?;
    let frames = bench.frames(512)?;
    let page = FrameRun { pages: 1, ..frames };
    let one = range(DATA, PAGE_SIZE)?;
    repeat("map and unmap a page", COUNT, || {
        space.map(VirtualAddress(DATA), &[page], RW)?;
        space.unmap(one);
        Ok(())
    })?;
    space.map(VirtualAddress(DATA), &[page], RW)?;
    repeat("write-protect a page and back", COUNT, || {
        space.protect(one, Access::READ);
        space.protect(one, RW);
        Ok(())
    })?;
    space.map(VirtualAddress(4 * DATA), &[frames], RW)?;
    let large = range(4 * DATA, LARGE)?;
    repeat("write-protect a large page and back", COUNT, || {
        space.protect(large, Access::READ);
        space.protect(large, RW);
        Ok(())
    })?;
    repeat("clear", COUNT, || {
        space.clear();
        Ok(())
    })
}

/// First touches of what is mapped.
fn touches(bench: &mut Bench) -> Result<(), Error> {
    const PAGES: usize = 4096;
    // 1: movb $1, (%rdi); add $4096, %rdi; dec %rcx; jnz 1b; syscall
    let code = [
        0xc6, 0x07, 0x01, 0x48, 0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, 0x48, 0xff, 0xc9, 0x75, 0xf1, 0x0f, 0x05,
    ];
    let space = bench.space(&code)?;
    let mut context = bench.platform.new_context()?;
    let run_of_frames = bench.frames(PAGES)?;
    for (what, start) in
        [("touch a mapped page, small", DATA + PAGE_SIZE), ("touch a mapped page, large", 8 * DATA)]
    {
        space.map(VirtualAddress(start), &[run_of_frames], RW)?;
        let mut registers = Registers { rdi: start, rcx: PAGES as u64, ..self::start() };
        let begun = Instant::now();
        run(&mut context, &space, &mut registers)?;
        print(what, begun, PAGES as u32);
    }
    Ok(())
}

/// Address spaces and contexts that come and go.
fn lives(bench: &mut Bench) -> Result<(), Error> {
    const COUNT: u32 = 500;
    let code = bench.frames(1)?;
    bench.platform.memory().slice(code.start, 2)?.copy_from(&[0x0f_u8, 0x05]);
    repeat("new address space", COUNT, || {
        let space = bench.platform.new_address_space()?;
        Ok(space.map(VirtualAddress(CODE), &[code], RX)?)
    })?;
    repeat("new address space and context, one system call", COUNT, || {
        let space = bench.platform.new_address_space()?;
        space.map(VirtualAddress(CODE), &[code], RX)?;
        let mut context = bench.platform.new_context()?;
        run(&mut context, &space, &mut start()).map(drop)
    })?;
    let space = bench.platform.new_address_space()?;
    space.map(VirtualAddress(CODE), &[code], RX)?;
    let mut contexts = Vec::new();
    repeat("new context on a new vCPU, one system call", 100, || {
        let mut context = bench.platform.new_context()?;
        run(&mut context, &space, &mut start())?;
        contexts.push(context);
        Ok(())
    })
}

fn start() -> Registers {
    Registers { rip: CODE, rdi: 0x1234_5000, rflags: 0x202, ..Registers::default() }
}

fn range(start: u64, len_bytes: u64) -> Result<VirtualRange, Error> {
    VirtualRange::new(VirtualAddress(start), len_bytes).ok_or_else(|| "no such range".into())
}

fn run(
    context: &mut Box<dyn Context>,
    space: &Arc<dyn AddressSpace>,
    registers: &mut Registers,
) -> Result<Exit, Error> {
    match context.run(space, registers) {
        Exit::Broken(reason) => Err(reason.into()),
        exit => Ok(exit),
    }
}

fn repeat(what: &str, count: u32, mut body: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    for _ in 0..count / 10 {
        body()?;
    }
    let begun = Instant::now();
    for _ in 0..count {
        body()?;
    }
    print(what, begun, count);
    Ok(())
}

fn print(what: &str, begun: Instant, count: u32) {
    println!("{what:50} {:>10.0} ns", begun.elapsed().as_nanos() as f64 / f64::from(count));
}
