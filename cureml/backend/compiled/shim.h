#pragma once
// The part of PJRT's C API (pjrt_c_api.h of openxla/xla) that shim.c uses. The API only ever grows at its end, so these
// places stay.
#include <stddef.h>

typedef struct {
	size_t size;
	void *extensions;
	struct {
		size_t size;
		void *extensions;
		int major, minor;
	} version;
	void *function[];
} pjrt_api;

enum { error_destroy = 0, client_compile = 20, executable_destroy = 40, executable_serialize = 49,
	loaded_get_executable = 51, executable_load = 56 };

typedef struct {
	size_t size;
	void *extensions;
	char *code;
	size_t code_size;
	const char *format;
	size_t format_size;
} pjrt_program;

typedef struct {
	size_t size;
	void *extensions;
	void *client;
	const pjrt_program *program;
	const char *options;
	size_t options_size;
	void *executable;
} pjrt_compile;

const pjrt_api *shim(const char *path, const char **problem);
void *compile_original(pjrt_compile *args);
int load(pjrt_compile *args, const char *bytes, size_t size);
int serialize(void *loaded, const char **bytes, size_t *size, void **handle, void **release);
void release_serialized(void *handle, void *release);
