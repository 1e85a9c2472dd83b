/* Packet programs of growing weight: drop, parse and count, L4 load balancing; xdp, tc and socket filters. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "progs.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 65536);
	 __type(key, __u32); __type(value, struct counter); } src_count SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 65536);
	 __type(key, __u32); __type(value, struct counter); } src_count_pcpu SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 256);
	 __type(key, __u32); __type(value, struct counter); } proto_count SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 512);
	 __type(key, struct vip_key); __type(value, struct vip_val); } vips SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, RING_SIZE);
	 __type(key, __u32); __type(value, __u32); } ch_ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4096);
	 __type(key, __u32); __type(value, struct real_val); } reals SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 131072);
	 __type(key, struct flow4); __type(value, __u32); } conns SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 512);
	 __type(key, __u32); __type(value, struct counter); } vip_stats SEC(".maps");

SEC("xdp") int x_drop(struct xdp_md *ctx) { return XDP_DROP; }
SEC("xdp") int x_pass(struct xdp_md *ctx) { return XDP_PASS; }

static __always_inline struct ip4_hdr_ *parse4(void *data, void *end)
{
	struct eth_hdr_ *eth = data;
	if ((void *)(eth + 1) > end) return 0;
	__u16 proto = eth->proto;
	void *p = eth + 1;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		if (proto == bpf_htons(ETH_P_8021Q_)) {
			struct vlan_hdr_ *v = p;
			if ((void *)(v + 1) > end) return 0;
			proto = v->proto; p = v + 1;
		}
	}
	if (proto != bpf_htons(ETH_P_IP_)) return 0;
	struct ip4_hdr_ *ip = p;
	if ((void *)(ip + 1) > end) return 0;
	if ((ip->vihl & 0xf) < 5) return 0;
	return ip;
}

/* parse only, count per IP protocol in a per-CPU array */
SEC("xdp") int x_parse_array(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ip4_hdr_ *ip = parse4(data, end);
	if (!ip) return XDP_PASS;
	__u32 k = ip->proto;
	struct counter *c = bpf_map_lookup_elem(&proto_count, &k);
	if (c) { c->pkts++; c->bytes += end - data; }
	return XDP_DROP;
}

/* L3 parse + hash-map count per source address (shared map, atomic adds) */
static __always_inline int parse_hash(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ip4_hdr_ *ip = parse4(data, end);
	if (!ip) return XDP_PASS;
	__u32 k = ip->saddr;
	struct counter *c = bpf_map_lookup_elem(&src_count, &k);
	if (c) {
		__sync_fetch_and_add(&c->pkts, 1);
		__sync_fetch_and_add(&c->bytes, end - data);
	} else {
		struct counter n = { 1, end - data };
		bpf_map_update_elem(&src_count, &k, &n, BPF_ANY);
	}
	return XDP_DROP;
}

SEC("xdp") int x_parse_hash(struct xdp_md *ctx) { return parse_hash(ctx); }

SEC("xdp") int x_parse_pcpu_hash(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ip4_hdr_ *ip = parse4(data, end);
	if (!ip) return XDP_PASS;
	__u32 k = ip->saddr;
	struct counter *c = bpf_map_lookup_elem(&src_count_pcpu, &k);
	if (c) { c->pkts++; c->bytes += end - data; }
	else { struct counter n = { 1, end - data }; bpf_map_update_elem(&src_count_pcpu, &k, &n, BPF_ANY); }
	return XDP_DROP;
}

/* L4 load balancer: VIP lookup, LRU connection table, consistent-hash ring,
 * IP-in-IP encapsulation, MAC rewrite, XDP_TX, per-VIP stats. */
static __always_inline int lb(struct xdp_md *ctx, const int restore)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct eth_hdr_ *eth = data;
	if ((void *)(eth + 1) > end || eth->proto != bpf_htons(ETH_P_IP_)) return XDP_PASS;
	struct ip4_hdr_ *ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end) return XDP_DROP;
	if (ip->vihl != 0x45) return XDP_DROP;
	if (ip->frag & bpf_htons(0x3fff)) return XDP_DROP;
	if (ip->proto != 6 && ip->proto != 17) return XDP_PASS;
	struct l4_ports_ *l4 = (void *)(ip + 1);
	if ((void *)(l4 + 1) > end) return XDP_DROP;

	struct flow4 f = { .saddr = ip->saddr, .daddr = ip->daddr, .sport = l4->sport,
			   .dport = l4->dport, .proto = ip->proto };
	struct vip_key vk = { .addr = f.daddr, .port = f.dport, .proto = f.proto };
	struct vip_val *vv = bpf_map_lookup_elem(&vips, &vk);
	if (!vv) return XDP_PASS;
	__u32 vid = vv->id, rid;
	__u16 len = bpf_ntohs(ip->tot_len);
	__u8 tos = ip->tos;

	__u32 *known = bpf_map_lookup_elem(&conns, &f);
	if (known) rid = *known;
	else {
		__u32 slot = hash3(f.saddr, ((__u32)f.sport << 16) | f.dport, f.daddr ^ f.proto) % RING_SIZE;
		__u32 *r = bpf_map_lookup_elem(&ch_ring, &slot);
		if (!r) return XDP_DROP;
		rid = *r;
		bpf_map_update_elem(&conns, &f, &rid, BPF_ANY);
	}
	struct real_val *real = bpf_map_lookup_elem(&reals, &rid);
	if (!real) return XDP_DROP;

	unsigned char oldsrc[6], olddst[6];
	__builtin_memcpy(oldsrc, eth->src, 6);
	__builtin_memcpy(olddst, eth->dst, 6);
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct ip4_hdr_))) return XDP_DROP;
	data = (void *)(long)ctx->data; end = (void *)(long)ctx->data_end;
	eth = data;
	if ((void *)(eth + 1) > end) return XDP_DROP;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end) return XDP_DROP;
	__builtin_memcpy(eth->src, olddst, 6);
	__builtin_memcpy(eth->dst, real->mac, 6);
	eth->proto = bpf_htons(ETH_P_IP_);
	ip->vihl = 0x45; ip->tos = tos; ip->tot_len = bpf_htons(len + sizeof(*ip));
	ip->id = 0; ip->frag = 0; ip->ttl = 64; ip->proto = 4; ip->csum = 0;
	ip->saddr = f.saddr ^ ((__u32)f.sport << 16) ^ 0x10ac;
	ip->daddr = real->addr;
	__u32 sum = 0;
	__u16 *w = (void *)ip;
#pragma unroll
	for (int i = 0; i < 10; i++) sum += w[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->csum = ~sum;

	struct counter *c = bpf_map_lookup_elem(&vip_stats, &vid);
	if (c) { c->pkts++; c->bytes += len; }
	if (restore) { /* undo the encapsulation: PROG_TEST_RUN's repeat reuses the buffer */
		if (bpf_xdp_adjust_head(ctx, sizeof(struct ip4_hdr_))) return XDP_DROP;
		data = (void *)(long)ctx->data; end = (void *)(long)ctx->data_end;
		eth = data;
		if ((void *)(eth + 1) > end) return XDP_DROP;
		__builtin_memcpy(eth->src, oldsrc, 6);
		__builtin_memcpy(eth->dst, olddst, 6);
		eth->proto = bpf_htons(ETH_P_IP_);
	}
	return XDP_TX;
}
SEC("xdp") int x_lb(struct xdp_md *ctx) { return lb(ctx, 0); }
SEC("xdp") int x_lb_restore(struct xdp_md *ctx) { return lb(ctx, 1); }

/* Same programs with the source address and port rewritten from a running
 * counter, so that one repeated packet stands for nflows distinct flows. */
volatile const __u32 flow_mask = 0;
__u32 flow_next;
static __always_inline int vary(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	if (data + 38 > end) return 0;
	/* multiply by an odd constant: visits flows in a scattered order */
	__u32 n = (flow_next++ * 2654435761u) >> 8;
	*(__u32 *)(data + 26) = n & flow_mask;
	return 1;
}
SEC("xdp") int x_parse_hash_vary(struct xdp_md *ctx) { vary(ctx); return parse_hash(ctx); }
SEC("xdp") int x_vary_only(struct xdp_md *ctx) { vary(ctx); return XDP_DROP; }
SEC("xdp") int x_lb_restore_vary(struct xdp_md *ctx) { vary(ctx); return lb(ctx, 1); }

/* tc and socket-filter twins of x_parse_hash */
SEC("tc") int t_drop(struct __sk_buff *skb) { return 2; }
SEC("tc") int t_parse_hash(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ip4_hdr_ *ip = parse4(data, end);
	if (!ip) return 0;
	__u32 k = ip->saddr;
	struct counter *c = bpf_map_lookup_elem(&src_count, &k);
	if (c) { __sync_fetch_and_add(&c->pkts, 1); __sync_fetch_and_add(&c->bytes, end - data); }
	else { struct counter n = { 1, end - data }; bpf_map_update_elem(&src_count, &k, &n, BPF_ANY); }
	return 2;
}
/* In PROG_TEST_RUN a socket filter's skb starts at the network header (tc's at the MAC header). */
SEC("socket") int s_parse_hash(struct __sk_buff *skb)
{
	__u8 vihl; __u32 k;
	if (bpf_skb_load_bytes(skb, 0, &vihl, 1) || vihl >> 4 != 4) return 0;
	if (bpf_skb_load_bytes(skb, 12, &k, 4)) return 0;
	struct counter *c = bpf_map_lookup_elem(&src_count, &k);
	if (c) { __sync_fetch_and_add(&c->pkts, 1); __sync_fetch_and_add(&c->bytes, skb->len); }
	else { struct counter n = { 1, skb->len }; bpf_map_update_elem(&src_count, &k, &n, BPF_ANY); }
	return skb->len;
}
