// Drops TCP and UDP packets to one port and counts, by source address, what it dropped (XDP).
#include "../bpf.h"

struct xdp_md {
	u32 data;
	u32 data_end;
};

enum { XDP_DROP = 1, XDP_PASS = 2 };
enum { ETH_IPV4 = 0x0008 }; // as it lies in a frame, read on a little-endian machine
enum { TCP = 6, UDP = 17 };

// Set before loading: skep run ... --global blocked_port=53
const volatile u16 blocked_port = 23;

struct address {
	u8 octets[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct address);
	__type(value, u64);
} dropped SEC(".maps");

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(long)ctx->data;
	u8 *end = (u8 *)(long)ctx->data_end;
	u8 *ip = data + 14, *ports;
	struct address source;
	u64 one = 1, *count;

	if (ip + 20 > end || *(u16 *)(data + 12) != ETH_IPV4)
		return XDP_PASS;
	if (ip[9] != TCP && ip[9] != UDP)
		return XDP_PASS;
	if ((ip[6] & 0x1f) || ip[7])
		return XDP_PASS; // a later fragment: no ports in it
	ports = ip + (ip[0] & 0xf) * 4;
	if (ports + 4 > end)
		return XDP_PASS;
	if ((ports[2] << 8 | ports[3]) != blocked_port)
		return XDP_PASS;

	__builtin_memcpy(&source, ip + 12, sizeof(source));
	count = bpf_map_lookup_elem(&dropped, &source);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&dropped, &source, &one, BPF_ANY);
	return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
