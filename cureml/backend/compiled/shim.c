//go:build linux && cgo

#include "shim.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include "_cgo_export.h"

static const pjrt_api *original;

static void *compile(pjrt_compile *args) { return compileThroughCache(args); }

// shim loads the plugin and returns a copy of its table of functions in which compilation asks the cache first.
const pjrt_api *shim(const char *path, const char **problem) {
	void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	if (!library) {
		*problem = dlerror();
		return NULL;
	}
	const pjrt_api *(*get)(void) = (const pjrt_api *(*)(void))dlsym(library, "GetPjrtApi");
	if (!get) {
		*problem = "it has no GetPjrtApi";
		return NULL;
	}
	original = get();
	if (!original || original->size < offsetof(pjrt_api, function) + (executable_load + 1) * sizeof(void *)) {
		*problem = "its table of functions is too short";
		return NULL;
	}
	pjrt_api *copy = malloc(original->size);
	memcpy(copy, original, original->size);
	copy->function[client_compile] = (void *)compile;
	return copy;
}

static void forget(void *error) {
	struct {
		size_t size;
		void *extensions, *error;
	} args = {sizeof args, NULL, error};
	((void (*)(void *))original->function[error_destroy])(&args);
}

// call is 0 if the function fails; its error is dropped.
static int call(int function, void *args) {
	void *error = ((void *(*)(void *))original->function[function])(args);
	if (error) forget(error);
	return !error;
}

void *compile_original(pjrt_compile *args) { return ((void *(*)(void *))original->function[client_compile])(args); }

// load makes an executable of serialised bytes.
int load(pjrt_compile *args, const char *bytes, size_t size) {
	struct {
		size_t size;
		void *extensions, *client;
		const char *bytes;
		size_t bytes_size;
		void *executable;
		const char *options;
		size_t options_size;
	} a = {sizeof a, NULL, args->client, bytes, size, NULL, NULL, 0};
	if (!call(executable_load, &a)) return 0;
	args->executable = a.executable;
	return 1;
}

// serialize gives the bytes of a loaded executable, which live until release_serialized.
int serialize(void *loaded, const char **bytes, size_t *size, void **handle, void **release) {
	struct {
		size_t size;
		void *extensions, *loaded, *executable;
	} get = {sizeof get, NULL, loaded, NULL};
	if (!call(loaded_get_executable, &get)) return 0;
	struct {
		size_t size;
		void *extensions, *executable;
		const char *bytes;
		size_t bytes_size;
		void *handle;
		void (*release)(void *);
	} s = {sizeof s, NULL, get.executable, NULL, 0, NULL, NULL};
	int ok = call(executable_serialize, &s);
	struct {
		size_t size;
		void *extensions, *executable;
	} destroy = {sizeof destroy, NULL, get.executable};
	call(executable_destroy, &destroy);
	*bytes = s.bytes, *size = s.bytes_size, *handle = s.handle, *release = (void *)s.release;
	return ok;
}

void release_serialized(void *handle, void *release) {
	if (release) ((void (*)(void *))release)(handle);
}
