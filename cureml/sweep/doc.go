// Package sweep spreads a benchmark over many processes and machines: methods x networks x widths x data sets x seeds, and
// the images of each evaluation in shards.
//
// A [Grid] becomes a list of tasks in a folder ([Create]); each [Task] is a training or the attack of some images, is done
// by its index ([Sweep.Do]) wherever the folder is seen, and leaves its result as a file, complete or not at all:
//
//	sweep.json                                        the grid and its tasks
//	mini/runs/trades-resnet18-w16-s0/                 run folders, as of package benchmark
//	mini/shards/trades-resnet18-w16-s0/...            what evaluation tasks found
//	mini/reports/trades-resnet18-w16-s0/last-*.json   merged reports
//	mini/cards/, table.txt, .md, .csv, .png           the benchmark of that data set
//	locks/, failed/, logs/                            who is at work, why a task failed, what tasks printed
//
// Slurm arrays and Kubernetes Indexed Jobs hand out the indexes (package deploy writes their files); [Sweep.Run] does so on
// one machine. No process talks to another: locks on files keep two from doing the same, and the kernel drops the lock of
// one that is killed. A training goes on from its checkpoint and an evaluation from its state file, so that tasks killed at
// any moment and started again end in the same bits.
//
// [Sweep.Merge] puts the shards of an evaluation together. Random numbers of attacks are keyed by image, all shards have
// programs of the same batch size, and so the merged report is that of the undivided evaluation bit for bit, but for its
// seconds.
//
// # What a row costs
//
// A forward pass of a network costs F floating-point operations an image, twice its multiply-adds ([nn.Arch.MACs]):
//
//	ResNet-18 of width 16     0.070e9        WRN-28-10    10.5e9
//	ResNet-18 of width 64     1.11e9         WRN-34-10    13.3e9
//
// F grows about with the square of the width, and linearly in depth and in the pixels of an image. A pass back to the image costs
// about F again, and so does one back to the weights; a step of an attack is 2 F, a training pass 3 F. With K attack steps,
// a training step costs an image ([cureml.Config.MACs] has all methods):
//
//	natural         3 F                            natural, 10 epochs of 50,000 images of ResNet-18 w64    1.7e15
//	AT              (2K + 3) F           23 F      with K = 10
//	TRADES, SCORE   (1 + 2K + 6) F       27 F
//	MART            (2K + 6) F           26 F
//	CURE            (1 + 2K + 12) F      33 F      2 of them on the revision model
//	ARD             (2K + 5) F           25 F      1 on the teacher
//	IAD             (2K + 8) F           28 F      2 on the teacher
//	HAT             (1 + 2K + 10) F      31 F      1 on the helper
//	AWP             one more update: 6 F with TRADES
//
// Then, with N training images, E epochs, and a device that does R operations a second in such steps,
//
//	minutes = E N (passes F) / (60 R)
//
// Attacks cost at most, for an image that nothing breaks: PGD-20 42 F, AutoAttack (standard) about 9,800 F: 204 for APGD,
// 1,829 for targeted APGD, 2,729 for targeted FAB, 5,004 for Square. Broken images cost less: on a network with 34 % robust
// accuracy, 831,282 passes over 256 images were measured (results/autoattack-linf.json), 3,247 F an image.
//
// Measured points, two cores of a Xeon (results/bench/steps.json, batches of 64), in 10⁹ operations a second:
//
//	                  width 16     width 64
//	TRADES, 27 F      156          243
//	CURE, 33 F        142          228
//	natural, 3 F       95
//
// So R is about one number for all that trains adversarially on a network: the formula predicts CURE's steps from those of
// TRADES to 10 %. Natural steps, which are the cheapest, take 1.6 times as long as it says, and so do narrow networks:
// what is no convolution weighs more there. [DefaultGFLOPS] is the R of width 16. For a GPU nothing was measured: run `cure bench --only trades-step` there and divide,
//
//	R = images/s 27 F   (ResNet-18 w64: images/s 30.0e9),
//
// which `cure sweep plan --gflops` takes. Expect R to depend on the network: wide convolutions come closer to a GPU's peak.
//
// As an example, the paper-scale TRADES row of ResNet-18 (76 epochs of 49,000 images) is 1.1e17 operations, and of
// WRN-34-10 1.3e18, 12 times as much; AutoAttack on 10,000 images that nothing breaks is 1.1e17 and 1.3e18 too.
package sweep
