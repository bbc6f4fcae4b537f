// Package weights reads and writes the tensors of a network under PyTorch's names and in PyTorch's layouts.
//
// A [Dict] is a state dict: names such as "layer1.0.conv1.weight", each with a [Tensor] in C order
// (convolutions [out, in, height, width], linear layers [out, in]). Nothing is transposed or renamed here;
// mapping names to a network is the caller's part.
//
// [Read] tells by content, not by file name, between
//
//   - safetensors (the format of the Hugging Face library of that name, version 0.x), one file or several
//     with an .index.json beside them;
//   - what torch.save writes since PyTorch 1.6: a zip archive with data.pkl and one record per storage;
//   - what torch.save wrote before, or writes with _use_new_zipfile_serialization=False: five pickles and
//     the raw storages behind them.
//
// Files come from strangers, so reading executes nothing. Pickles go through gopickle's virtual machine only
// after every opcode, length and global was checked: the globals that rebuild tensors, OrderedDict,
// torch.Size and NumPy scalars are known, any other one is an error that names it. Sizes that a file
// declares are compared with the size of the file before memory is allocated. Every error is one line.
//
// [WriteSafetensors] orders tensors as the official library does, so both write the same bytes for the same
// tensors. The file appears under its name complete or not at all.
//
// A checkpoint often wraps its state dict: {"state_dict": ..., "epoch": 3}, or "module." before every name.
// [Read] joins nested keys with dots and keeps every tensor; [Peel] takes such wrapping off.
package weights
