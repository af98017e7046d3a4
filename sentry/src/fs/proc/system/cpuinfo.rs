//! /proc/cpuinfo: what user code could ask the CPUID instruction itself.

use std::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};
use std::fmt::Write;

/// The text for `cpus` equal CPUs.
pub(super) fn cpuinfo(cpus: usize) -> Vec<u8> {
    let identity = Identity::read();
    let mut text = String::new();
    for cpu in 0..cpus {
        // Writing to a string does not fail.
        let _ = identity.describe(&mut text, cpu, cpus);
    }
    text.into_bytes()
}

struct Identity {
    vendor: String,
    model_name: String,
    family: u32,
    model: u32,
    stepping: u32,
    max_leaf: u32,
    flags: String,
    physical_bits: u32,
    virtual_bits: u32,
}

/// The highest CPUID leaf of the range that begins at `base` (0 or 0x8000_0000).
fn max_leaf(base: u32) -> u32 {
    __cpuid(base).eax
}

fn leaf(number: u32) -> CpuidResult {
    let none = CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    if number <= max_leaf(number & 0x8000_0000) { __cpuid_count(number, 0) } else { none }
}

fn text_of(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    String::from_utf8_lossy(&bytes).trim_matches(['\0', ' ']).to_owned()
}

impl Identity {
    fn read() -> Self {
        let (vendor, version, sizes) = (leaf(0), leaf(1), leaf(0x8000_0008));
        let names: Vec<u32> = (0x8000_0002..=0x8000_0004)
            .map(leaf)
            .flat_map(|part| [part.eax, part.ebx, part.ecx, part.edx])
            .collect();
        // SDM 2A, CPUID: the extended fields count only for family 15, and the model's for 6 and 15.
        let base_family = version.eax >> 8 & 0xf;
        let family = if base_family == 0xf { base_family + (version.eax >> 20 & 0xff) } else { base_family };
        let extended_model = if base_family == 6 || base_family == 0xf { version.eax >> 16 & 0xf } else { 0 };
        Self {
            vendor: text_of(&[vendor.ebx, vendor.edx, vendor.ecx]),
            model_name: text_of(&names),
            family,
            model: extended_model << 4 | version.eax >> 4 & 0xf,
            stepping: version.eax & 0xf,
            max_leaf: vendor.eax,
            flags: flags(),
            physical_bits: (sizes.eax & 0xff).max(36),
            virtual_bits: (sizes.eax >> 8 & 0xff).max(48),
        }
    }

    fn describe(&self, text: &mut String, cpu: usize, cpus: usize) -> std::fmt::Result {
        let Self { vendor, model_name, family, model, stepping, max_leaf, flags, .. } = self;
        writeln!(
            text,
            "processor\t: {cpu}\nvendor_id\t: {vendor}\ncpu family\t: {family}\nmodel\t\t: {model}"
        )?;
        writeln!(text, "model name\t: {model_name}\nstepping\t: {stepping}\ncpu MHz\t\t: 2000.000")?;
        writeln!(text, "cache size\t: 1024 KB\nphysical id\t: 0\nsiblings\t: {cpus}\ncore id\t\t: {cpu}")?;
        writeln!(text, "cpu cores\t: {cpus}\napicid\t\t: {cpu}\ninitial apicid\t: {cpu}\nfpu\t\t: yes")?;
        writeln!(text, "fpu_exception\t: yes\ncpuid level\t: {max_leaf}\nwp\t\t: yes\nflags\t\t: {flags}")?;
        writeln!(text, "bugs\t\t:\nbogomips\t: 4000.00\nclflush size\t: 64\ncache_alignment\t: 64")?;
        let (physical, linear) = (self.physical_bits, self.virtual_bits);
        writeln!(
            text,
            "address sizes\t: {physical} bits physical, {linear} bits virtual\npower management:\n"
        )
    }
}

/// The names of the features that user code may use, by register and bit.
fn flags() -> String {
    let (basic, structured, extended) = (leaf(1), leaf(7), leaf(0x8000_0001));
    let mut names = Vec::new();
    for (register, features) in [
        (basic.edx, BASIC_EDX),
        (extended.edx, EXTENDED_EDX),
        (basic.ecx, BASIC_ECX),
        (extended.ecx, EXTENDED_ECX),
        (structured.ebx, STRUCTURED_EBX),
        (structured.ecx, STRUCTURED_ECX),
        (structured.edx, STRUCTURED_EDX),
    ] {
        names.extend(features.iter().filter(|(bit, _)| register >> bit & 1 == 1).map(|(_, name)| *name));
    }
    names.join(" ")
}

type Features = &'static [(u32, &'static str)];

const BASIC_EDX: Features = &[
    (0, "fpu"),
    (4, "tsc"),
    (8, "cx8"),
    (15, "cmov"),
    (19, "clflush"),
    (23, "mmx"),
    (24, "fxsr"),
    (25, "sse"),
    (26, "sse2"),
    (28, "ht"),
];
const EXTENDED_EDX: Features = &[(11, "syscall"), (20, "nx"), (27, "rdtscp"), (29, "lm")];
const BASIC_ECX: Features = &[
    (0, "pni"),
    (1, "pclmulqdq"),
    (9, "ssse3"),
    (12, "fma"),
    (13, "cx16"),
    (19, "sse4_1"),
    (20, "sse4_2"),
    (22, "movbe"),
    (23, "popcnt"),
    (25, "aes"),
    (26, "xsave"),
    (28, "avx"),
    (29, "f16c"),
    (30, "rdrand"),
    (31, "hypervisor"),
];
const EXTENDED_ECX: Features =
    &[(0, "lahf_lm"), (5, "abm"), (6, "sse4a"), (7, "misalignsse"), (8, "3dnowprefetch")];
const STRUCTURED_EBX: Features = &[
    (0, "fsgsbase"),
    (3, "bmi1"),
    (5, "avx2"),
    (8, "bmi2"),
    (9, "erms"),
    (16, "avx512f"),
    (17, "avx512dq"),
    (18, "rdseed"),
    (19, "adx"),
    (21, "avx512ifma"),
    (23, "clflushopt"),
    (24, "clwb"),
    (28, "avx512cd"),
    (29, "sha_ni"),
    (30, "avx512bw"),
    (31, "avx512vl"),
];
const STRUCTURED_ECX: Features = &[
    (1, "avx512vbmi"),
    (6, "avx512_vbmi2"),
    (8, "gfni"),
    (9, "vaes"),
    (10, "vpclmulqdq"),
    (11, "avx512_vnni"),
    (12, "avx512_bitalg"),
    (14, "avx512_vpopcntdq"),
    (22, "rdpid"),
];
const STRUCTURED_EDX: Features = &[(4, "fsrm"), (8, "avx512_vp2intersect")];
