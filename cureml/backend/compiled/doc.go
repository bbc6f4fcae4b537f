// Package compiled keeps the programs that XLA compiled on disk, so that the next process that wants the same loads them
// in milliseconds instead of compiling for seconds.
//
// go-xla has no word for that, but it takes a plugin's table of functions from whoever has one
// ([pjrt.RegisterPreloadedPlugin]). [Register] hands it a copy of the plugin's own table in which the function that
// compiles (PJRT_Client_Compile) is ours: it looks in a [Store] for the program, lets PJRT load it if it is there
// (PJRT_Executable_DeserializeAndLoad), and otherwise lets the plugin compile it and keeps what PJRT makes of it
// (PJRT_Executable_Serialize). What is loaded is the code that was compiled: results have the same bits.
//
// A program's key is the SHA-256 of its StableHLO, its compile options, and what else decides about the code: the
// plugin's file, XLA_FLAGS, the processor and, where there is one, NVIDIA's driver and GPUs.
//
// The oneDNN calls of the CPU plugin (XLA of jaxlib 0.11.2) cannot be serialised: it ends the process with bad_alloc. The
// caller has to switch them off.
package compiled
