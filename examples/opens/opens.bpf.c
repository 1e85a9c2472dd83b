// Prints each file that a command opens.
#include "../bpf.h"

struct event {
	u32 pid;
	s32 ret;
	char comm[16];
	char path[256];
};
// Keeps the type in the object, so that whoever reads the ring buffer can decode it.
const struct event *event_type __attribute__((unused));

// The system call's arguments as the kernel records them; CO-RE finds the fields wherever they are.
struct trace_event_raw_sys_enter {
	u64 args[6];
} CORE;

struct trace_event_raw_sys_exit {
	long ret;
} CORE;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, u32);
	__type(value, const char *);
} paths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} events SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	u32 tid = bpf_get_current_pid_tgid();
	const char *path = (const char *)ctx->args[1];

	bpf_map_update_elem(&paths, &tid, &path, BPF_ANY);
	return 0;
}

// Read the path on the way out: by then the kernel has surely brought its page in.
SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct trace_event_raw_sys_exit *ctx)
{
	u64 id = bpf_get_current_pid_tgid();
	u32 tid = id;
	const char **path = bpf_map_lookup_elem(&paths, &tid);
	struct event *event;

	if (!path)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (event) {
		event->pid = id >> 32;
		event->ret = ctx->ret;
		bpf_get_current_comm(event->comm, sizeof(event->comm));
		bpf_probe_read_user_str(event->path, sizeof(event->path), *path);
		bpf_ringbuf_submit(event, 0);
	}
	bpf_map_delete_elem(&paths, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
