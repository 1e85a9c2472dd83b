// How long each system call of a command takes: one power-of-two histogram of nanoseconds a system call.
#include "../bpf.h"

#define SLOTS 40

struct hist {
	u64 slots[SLOTS];
};

struct trace_event_raw_sys_enter {
	long id;
} CORE;

struct trace_event_raw_sys_exit {
	long id;
} CORE;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, u64);
} starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, u32);
	__type(value, struct hist);
} syscall_ns SEC(".maps");

static const struct hist empty;

static __attribute__((always_inline)) u32 log2(u64 v)
{
	u32 r = 0;

	if (v >> 32)
		v >>= 32, r += 32;
	if (v >> 16)
		v >>= 16, r += 16;
	if (v >> 8)
		v >>= 8, r += 8;
	if (v >> 4)
		v >>= 4, r += 4;
	if (v >> 2)
		v >>= 2, r += 2;
	return r + (v >> 1);
}

SEC("tracepoint/raw_syscalls/sys_enter")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&starts, &tid, &now, BPF_ANY);
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int leave(struct trace_event_raw_sys_exit *ctx)
{
	u64 now = bpf_ktime_get_ns();
	u32 tid = bpf_get_current_pid_tgid();
	u32 nr = ctx->id;
	u64 *start = bpf_map_lookup_elem(&starts, &tid);
	struct hist *hist;
	u32 slot;

	if (!start)
		return 0;
	hist = bpf_map_lookup_elem(&syscall_ns, &nr);
	if (!hist) {
		bpf_map_update_elem(&syscall_ns, &nr, &empty, BPF_NOEXIST);
		hist = bpf_map_lookup_elem(&syscall_ns, &nr);
		if (!hist)
			return 0;
	}
	slot = log2(now - *start);
	if (slot >= SLOTS)
		slot = SLOTS - 1;
	__sync_fetch_and_add(&hist->slots[slot], 1);
	bpf_map_delete_elem(&starts, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
