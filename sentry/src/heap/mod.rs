//! What the sentry's own heap holds for guests, and who pays for it.
//!
//! Whatever a guest's action makes and keeps takes memory of the host outside of guest memory. It is charged all the same, as
//! Linux charges kernel memory: a [`HeapCharge`] is a field of the object that it is for, and dropping the object takes the
//! charge back. Whose calls a thread serves pays ([`serve`]): a process has a [`HeapAccount`], which buys pages from the
//! [`HeapPool`], the sandbox's memory (`--memory`), and from the [`HeapPayer`], the memory controller of its control group
//! (`memory.max`, "kernel" in `memory.stat`). A page that is sold is one that user code cannot have, so that the heap and guest
//! memory together never are more than the sandbox's memory. The heap gets at most three quarters of it, and whoever buys
//! leaves as much as it then has, up to an eighth of that, to those who have less.
//!
//! Where others could give up what is missing, guest memory or what the control group has, the call that wanted it has the shortage
//! dealt with as one of user memory: pages of files go first, then the process whose end gains most, in all of the sandbox or in the
//! group whose `memory.max` refuses (`memory.events`, `memory.oom.group`). Then the call is made again.
//!
//! An account buys some pages at a time, so that most charges touch no more than the account's own counters.
//!
//! A charge says what an object takes with its share of tables and of the allocator's own overhead, rather too much than too
//! little. Where an object cannot be refused where it is made, since what has been done can no longer be undone, it is
//! [forced](HeapCharge::forced): it counts, and whoever makes such objects asks for [room](check_room) before.
//!
//! # What bounds what a guest makes
//!
//! Everything below is paid for from the heap, so that there is never more of it than three quarters of the sandbox's memory and
//! than `memory.max` leaves; the second column says what ends it earlier. The names in the last one are those of the guest program
//! `growth`, which the command-line tests run beside a process that wants to be served, while they look at vmm's memory.
//!
//! | of | other bounds | refused by | `growth` |
//! |---|---|---|---|
//! | tasks: thread, stack, state | RLIMIT_NPROC, `pids.max`, numbers, the host's room for threads | ENOMEM, EAGAIN | `processes`, `threads`; the program `most_threads`, when asked for |
//! | mappings, those that fork copies too | 65,530 each (`vm.max_map_count`) | ENOMEM | `mappings_of_children` |
//! | tables of frames | the mappings; a fault that cannot be paid for finds no memory | the shortage's end of a process | `page_tables` |
//! | page tables, not charged | 256 KiB an address space, and an eighth of memory, at least 32 MiB, for what some need more | an address space starts afresh | `page_tables` |
//! | open file descriptions | `fs.file-max`, 2^20 | ENFILE | `descriptions` |
//! | tables of descriptors | RLIMIT_NOFILE, 2^24 slots | ENOMEM | `long_tables` |
//! | epoll interests | 262,144 each | ENOMEM, ENOSPC | `epoll_interests` |
//! | files that poll and select wait for | RLIMIT_NOFILE | ENOMEM | `polls` |
//! | dentries that nobody uses | 16,384 a file system | kept no longer | `names` |
//! | absent names | 16,384 a file system | not remembered | `absent_names` |
//! | inodes in memory, memfds | `nr_inodes`, a sixteenth of memory with their names | ENOSPC | `names`, `memory_files` |
//! | names in directories, also those taken over from an image | 65,000 links a file, a sixteenth of memory | ENOSPC, ENOMEM | `hard_links` |
//! | texts of symbolic links, attributes | a sixteenth of memory, with names | ENOSPC | `symbolic_links`, `attributes`, `tiny_attributes` |
//! | record locks | 65,536 a file | ENOLCK | `record_locks` |
//! | inotify instances | `max_user_instances` | EMFILE, ENOMEM | `inotify_queues` |
//! | inotify events | `max_queued_events`, 64 MiB | IN_Q_OVERFLOW | `inotify_queues` |
//! | inotify watches | `max_user_watches`, 2^18 | ENOSPC, ENOMEM | `inotify_watches` |
//! | texts that open files of /proc keep | 256 KiB or 512 mappings each, 32 KiB of mounts and one line | ENOMEM | `proc_texts`, `mount_texts` |
//! | texts of sockets, locks and descriptors while they are made up, dumps, listings of /proc | | ENOMEM | `descriptor_texts` |
//! | pages of pipes | `pipe-user-pages-soft`, 256 MiB | ENOMEM | `pipes` |
//! | sockets, also those that nobody has accepted | backlogs, `somaxconn` | ENFILE, ENOMEM, ENOBUFS | `unix_connections`, `tcp_connections` |
//! | connections closed while something is on its way | 4,096 a network namespace | a reset | `orphans` |
//! | ports in TIME_WAIT, not charged | 16,384 a protocol and network namespace, 4,096 that are told of | the oldest is free | `lingering_ports` |
//! | tables of rules for packets, and the datagrams that rules remember | 1 MiB a table; 4,096 a network namespace | ENOMEM; not remembered | |
//! | what is queued at sockets | their buffers, 128 MiB | ENOBUFS | `unix_streams`, `unix_packets`, `tiny_packets`, `udp_packets` |
//! | queued signals | RLIMIT_SIGPENDING | EAGAIN, or without their information | `queued_signals` |
//! | timers | RLIMIT_SIGPENDING | EAGAIN | `timers` |
//! | lists of groups | 65,536 numbers each | ENOMEM | `group_lists` |
//! | inodes that a process serves, their names, requests to it, its answers | 4,096 known names a mount, one request a task | ENOMEM | `served_names` |
//! | fanotify groups and marks | those of inotify | EMFILE, ENOSPC, ENOMEM | `fanotify_marks` |
//! | fanotify events and questions | `max_queued_events`, 64 MiB; one question a task | FAN_Q_OVERFLOW | `fanotify_queues` |
//! | inodes of overlays, listings that are open | the files below | ENOMEM | `whiteouts` |
//! | groups, bitmaps and maps of files of a mounted ext | what the device says that it has | ENOMEM | |
//! | mounts with their sources, file systems that are configured | 65,536 | ENOMEM, ENOSPC | `mounts`, `mount_sources`, `contexts` |
//! | namespaces | `/proc/sys/user` | ENOSPC, ENOMEM | `namespaces` |
//! | control groups | their number and depth | EAGAIN, ENOMEM | the guest program `cgroup_core` |
//! | keys | quotas, 2^18, 64 MiB | EDQUOT, ENOMEM | `keys` |
//! | messages, semaphores, queues, segments | the limits of IPC, 256 MiB | ENOSPC, ENOMEM | `message_queues`, `posix_queues`, `semaphores`, `segments` |
//! | addresses, routes, rules, neighbours | 256 a link, 4,096, 1,024, 1,024 a network namespace | ENOBUFS | `routes` |
//! | links, with the ends of their cables | 4,096 a network namespace | ENOBUFS | `links` |
//! | settings of networks and links that have been changed | the links | ENOMEM | `link_settings` |
//! | groups that sockets have joined, sources that they hear or do not | 20 and 1,024 groups a socket, 10 and 64 sources a group | ENOBUFS, ENOMEM | `multicast_groups` |
//! | pseudoterminals, with full buffers | 4,096 (`kernel.pty.max`) | ENOSPC, ENOMEM | `terminals`, `typed_terminals` |
//! | filters of system calls | 32,768 instructions each task | ENOMEM | `filters` |
//! | restrictions by landlock, their rules | 16 layers a task | ENOMEM | `rulesets` |
//! | rings of io_uring, files, buffers and groups of buffers registered with them | RLIMIT_NOFILE, 65,536 groups a ring | ENOMEM, EMFILE | `rings`, `buffer_groups` |
//! | requests of rings, completions beyond the ring | 32,768 submissions at a time | EAGAIN, EBUSY | `ring_requests`, `ring_completions` |
//! | counters of performance, and the tasks that each watches | RLIMIT_NOFILE | ENOMEM | `counters` |
//! | formats of programs (binfmt_misc) | 256 | ENOSPC, ENOMEM | `binary_formats` |
//! | userfaultfds, with what is registered | the descriptions, the mappings; one question a task | ENFILE, ENOMEM | `user_faults` |
//! | asynchronous requests and events | `aio-max-nr` | EAGAIN | `asynchronous_requests` |
//! | arguments and environments | a quarter of RLIMIT_STACK, 6 MiB | ENOMEM, E2BIG | `arguments` |
//!
//! Wait queues hold no more than those who wait, who are paid for. Queues and tables that have been emptied give back their room
//! ([`shrink_queue`], `emptied_sockets` and its like in `growth`).

mod account;
mod charge;
mod room;
#[cfg(test)]
mod tests;

pub use account::{HeapAccount, HeapPayer, HeapPool, Refusal};
#[cfg(test)]
use charge::pay_by;
pub use charge::{HeapCharge, Paying, actor, check_room, serve};
pub use room::{shrink_map, shrink_queue};
