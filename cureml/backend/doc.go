// Package backend opens the machine that computes: XLA through a PJRT plugin, or gomlx's pure Go backend when there is none.
//
// [Open] is what programs call. It finds a plugin ([Find]), makes sure that it works by trying it in a child process
// (a damaged library or a flag that XLA does not know would abort the caller), sets what makes it quick, and loads it.
// [Setup] installs a plugin, [Doctor] explains what is there and what is missing.
//
// # Where a plugin is looked for
//
// In this order: the files and folders named by PJRT_PLUGIN_LIBRARY_PATH; the folder .cure/pjrt of the checkout (found by
// walking up from the working directory to the go.mod of module cure, then from the source files that the program was
// built of); the user's cache folder (cure/pjrt); the folders where go-xla installs plugins. A GPU plugin is preferred
// when the machine has an NVIDIA device.
//
// # What is set before the plugin is loaded
//
// On CPU, three settings (each is skipped when the user has set its variable, and CURE_TUNE=off switches all off). The first
// and the last bring a training step of a small ResNet from 0.87 s to 0.56-0.65 s (2 cores, XLA of jaxlib 0.11.2), the second
// one of TRADES from 1.11 to 0.99 s (another machine with 2 cores):
//
//   - glibc's malloc is kept from giving memory back to the system after every step (mallopt), and all threads share one
//     arena, which is settled when the program is loaded, before this package is asked for anything: page faults were a
//     fifth of the time;
//   - half of the machine's memory is set aside for malloc, without touching it, and Linux asked to lay it on pages of 2 MB
//     (madvise), where transparent_hugepage/enabled is madvise and memory is not counted as used before it is;
//   - XLA_FLAGS gets --xla_cpu_experimental_onednn_custom_call=true, after a child process has shown that this build
//     knows the flag and still computes a convolution right. It changes results within 1e-6 relative.
//
// # Environment
//
//	GOMLX_BACKEND             backend when [Options] names none: go, xla, xla:cpu, xla:cuda or xla:/path/plugin.so[,option=value...]
//	PJRT_PLUGIN_LIBRARY_PATH  files or folders with plugins, separated by colons
//	XLA_FLAGS                 kept; a flag given there wins over ours
//	CURE_TUNE=off             no malloc settings and no XLA flags of ours
//	CURE_CACHE                where compiled programs are kept for the next process: on (cure/programs in the user's cache),
//	                          an absolute folder, or off, the default; package compiled. On a CPU oneDNN stays off then,
//	                          whose calls XLA cannot save: starts are seconds quicker, a small network's steps slower.
package backend
