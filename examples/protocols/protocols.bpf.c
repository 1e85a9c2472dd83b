// Counts packets and bytes by IP protocol (XDP).
#include "../bpf.h"

struct xdp_md {
	u32 data;
	u32 data_end;
};

enum { XDP_PASS = 2 };
enum { ETH_IPV4 = 0x0008, ETH_IPV6 = 0xdd86 }; // as they lie in a frame, read on a little-endian machine
enum { NOT_IP = 255 };

struct traffic {
	u64 packets;
	u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, u32);
	__type(value, struct traffic);
} by_protocol SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;
	u32 protocol = NOT_IP;
	struct traffic *traffic;

	if (data + 14 > end)
		return XDP_PASS;
	switch (*(u16 *)(data + 12)) {
	case ETH_IPV4:
		if (data + 34 <= end)
			protocol = data[14 + 9];
		break;
	case ETH_IPV6:
		if (data + 54 <= end)
			protocol = data[14 + 6];
		break;
	}
	traffic = bpf_map_lookup_elem(&by_protocol, &protocol);
	if (traffic) {
		traffic->packets += 1;
		traffic->bytes += end - data;
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
