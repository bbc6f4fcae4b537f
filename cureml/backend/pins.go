package backend

import "fmt"

// wheel is one pinned file of a Python package index. Only its name, version and hash are written down: where it comes
// from is the business of the user's pip.
type wheel struct {
	Package, Version string
	SHA256           string // of the wheel
	Library          string // the plugin inside; empty for NVIDIA's libraries, of which everything is unpacked
}

func (w wheel) String() string { return w.Package + " " + w.Version }

// requirement is the wheel as a line of a requirements file.
func (w wheel) requirement() string {
	return fmt.Sprintf("%s==%s --hash=sha256:%s\n", w.Package, w.Version, w.SHA256)
}

// wheels holds, per platform, the sets of wheels to try in order; the plugin comes first in its set.
//
// lammps-jax-pjrt-cpu is the XLA of jaxlib 0.11.2 as a plugin and ran 15% faster than xla-cpu-pjrt, OpenXLA's wheel of
// 2025. jax-cuda13-pjrt is the same XLA for CUDA 13; the libraries after it are the CUDA 13 set that its
// Python package asks for.
var wheels = map[Platform][][]wheel{
	CPU: {
		{{"lammps-jax-pjrt-cpu", "0.11.2", "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
			"lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so"}},
		{{"xla-cpu-pjrt", "0.0.1", "55837b6b7b47daa717f2d9a5a03563ea0ceaa338d06a81a1e2d3f060d960decc",
			"xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"}},
	},
	CUDA: {{
		{"jax-cuda13-pjrt", "0.11.2", "e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e",
			"jax_plugins/xla_cuda13/xla_cuda_plugin.so"},
		{Package: "nvidia-cublas", Version: "13.10.0.20", SHA256: "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84"},
		{Package: "nvidia-cuda-cupti", Version: "13.5.25", SHA256: "9dcca41c12a734192b14e7128ae116bc9ce1b9da686e2ebf48ae7a4415f76650"},
		{Package: "nvidia-cuda-nvcc", Version: "13.5.37", SHA256: "f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7"},
		{Package: "nvidia-cuda-runtime", Version: "13.5.37", SHA256: "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d"},
		{Package: "nvidia-cudnn-cu13", Version: "9.28.0.42", SHA256: "7358353c75bb121a58e5f7712fe6d588883dc1df8ba00f428237e44e97543c4d"},
		{Package: "nvidia-cufft", Version: "12.5.0.14", SHA256: "b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad"},
		{Package: "nvidia-cusolver", Version: "12.4.1.2", SHA256: "b3b8e02fd2f2df869369af075dc3a179d43f6f7b85e94632a7dce556697be044"},
		{Package: "nvidia-cusparse", Version: "12.9.4.2", SHA256: "072667e58c851a318738f5527a12eb225cbf058803f2ea451c722d8cf8edddec"},
		{Package: "nvidia-nccl-cu13", Version: "2.32.3", SHA256: "1459723080ac889d73a26edfa3e04383a7928ab31ac8f0ec43b3ea9548b04ff3"},
		{Package: "nvidia-nvjitlink", Version: "13.5.37", SHA256: "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb"},
		{Package: "nvidia-cuda-nvrtc", Version: "13.5.37", SHA256: "86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc"},
		{Package: "nvidia-nvshmem-cu13", Version: "3.8.0", SHA256: "81a4d1f666543e6d34df6d2ff940c7da1435e34e186aab6f3c2b48861b64ef38"},
		{Package: "nvidia-nvvm", Version: "13.5.37", SHA256: "c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070"},
	}},
}
