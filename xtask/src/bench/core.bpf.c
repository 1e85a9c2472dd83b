/* A CO-RE object of the usual kind: four relocations against task_struct and one map. It is only loaded. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

SEC("raw_tp/sched_process_exit")
int leaving(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (void *)ctx->args[0];
	__u32 key = BPF_CORE_READ(task, tgid);
	__u64 value = BPF_CORE_READ(task, real_parent, pid);

	if (bpf_core_field_exists(task->pid))
		value += bpf_core_type_size(struct task_struct);
	bpf_map_update_elem(&seen, &key, &value, BPF_ANY);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
