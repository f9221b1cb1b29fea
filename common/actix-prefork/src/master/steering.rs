//! The program that tells the kernel which socket of a group gets a new connection.

use nix::sys::socket::{setsockopt, sockopt::AttachReusePortCbpf};

use crate::listener::Listener;

/// Lets new connections of the group that `member` belongs to go to the sockets with the
/// indices `targets`, at random, and to no others. An index says in which order a socket was
/// opened.
pub(crate) fn steer(member: &Listener, targets: &[u32]) -> nix::Result<()> {
    let mut program = choose(targets);
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    setsockopt(member, AttachReusePortCbpf, &program)
}

/// A classic BPF program that returns one of `targets` at random.
fn choose(targets: &[u32]) -> Vec<libc::sock_filter> {
    const RANDOM: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM).cast_unsigned();
    let step = |code: u32, jump_true, jump_false, k| libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k,
    };
    let mut program = vec![
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, RANDOM),
        step(
            libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K,
            0,
            0,
            targets.len() as u32,
        ),
    ];
    if (0..).zip(targets).all(|(index, target)| index == *target) {
        program.push(step(libc::BPF_RET | libc::BPF_A, 0, 0, 0));
        return program;
    }
    for (index, target) in (0..).zip(targets) {
        program.extend([
            step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, index),
            step(libc::BPF_RET | libc::BPF_K, 0, 0, *target),
        ]);
    }
    // Not reached. The kernel wants a program to end with a return.
    program.push(step(libc::BPF_RET | libc::BPF_K, 0, 0, 0));
    program
}
