package mesh

import "github.com/gomlx/compute"

// Parts are the buffers of the devices.
func Parts(b compute.Buffer) []compute.Buffer { return b.(*buffer).parts }
