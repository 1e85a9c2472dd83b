/* The peer of the load bench: opens and loads an object through libbpf, then exits. */
#include <bpf/libbpf.h>

int main(int argc, char **argv)
{
	struct bpf_object *object = argc > 1 ? bpf_object__open_file(argv[1], NULL) : NULL;

	return !object || bpf_object__load(object) ? 1 : 0;
}
