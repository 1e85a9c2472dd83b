// Charges a client for each request, the more the deeper its path; answers 403 to strangers who ask for /admin, and 429
// to clients who have spent their budget.
#include "gateway.h"

enum { FORBIDDEN = 403, TOO_MANY = 429 };
enum { ADMINISTRATOR = 1, DEPTH_MAX = 64 };

// Set before loading: offer.global("budget", &1000u64)
const volatile __u64 budget = 20;

SEC("request")
int gate(struct request *request)
{
	const __u8 *path = request->path, *end = request->path_end;
	__u32 client = request->client;
	__u64 cost = 0;

	if (path + 6 <= end && path[1] == 'a' && path[2] == 'd' && path[3] == 'm' && path[4] == 'i' &&
	    path[5] == 'n' && client != ADMINISTRATOR) {
		note(path, 6);
		request->status = FORBIDDEN;
		return 1;
	}
	for (int i = 0; i < DEPTH_MAX; i++) {
		if (path + 1 > end)
			break;
		if (*path == '/')
			cost++;
		path++;
	}
	if (charge(client, cost) > budget) {
		request->status = TOO_MANY;
		return 1;
	}
	return 0;
}
