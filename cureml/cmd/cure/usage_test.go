package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cure/cureml"
	"cure/cureml/bench"
)

// TestUsage: what is typed wrong ends with code 2, one line that says what was wrong and what is accepted, and nothing
// written.
func TestUsage(t *testing.T) {
	dir := workplace(t)
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	cure(t, dir, "train", "--method", "natural", "--width", "2", "--epochs", "1", "--batch", "16", "--data", "images.bin", "--eval-every", "0", "--out", "run")
	eval := "eval --arch resnet18 --width 2 --weights w.safetensors --data images.bin --json out.json "
	train := "train --method natural --width 2 --epochs 1 --batch 8 --data images.bin --out new "
	similar := "analyze similarity --width 2 --weights w.safetensors --data images.bin --records 0:4 "
	features := "analyze features --width 2 --weights w.safetensors --data images.bin --records 0:4 "
	cases := []struct{ args, want string }{
		{"bogus", `unknown command "bogus": accepted are analyze, attack, bench, benchmark, data, doctor, eval, export, recipe, setup, sweep, train`},
		{"help bogus", `no help for "bogus"`},
		{"eval --bogus 3", "unknown flag: --bogus ('cure eval --help' lists the flags)"},
		{"eval more", `unexpected argument "more"`},
		{"eval", "--weights is missing"},
		{eval + "--weights none.pt", "--weights: none.pt: no such file or folder"},
		{eval + "--weights .", "neither a file with weights nor a run folder"},
		{eval + "--arch vgg", `unknown arch "vgg": accepted are resnet18`},
		{eval + "--arch wrn-11-2", "D = 6n+4"},
		{eval + "--width -1", "width -1: want a base width"},
		{eval + "--data none", "--data: none: no such file or folder; also accepted is mini"},
		{eval + "--split val", `--split "val": accepted are train, test`},
		{eval + "--records 5:5", `--records "5:5": want a:b with 0 <= a < b <= 16`},
		{eval + "--records 7:3", "0 <= a < b <= 16"},
		{eval + "--records 0:17", "0 <= a < b <= 16"},
		{eval + "--records -1:4", "0 <= a < b <= 16"},
		{eval + "--records 4", "0 <= a < b <= 16"},
		{eval + "--records a:b", "0 <= a < b <= 16"},
		{eval + "--attack pgd21", `unknown attack "pgd21": want one of natural, fgsm`},
		{eval + "--attack fgsm,fgsm", "fgsm appears twice"},
		{eval + "--attack fgsm+natural", `fgsm+natural: stage "natural": want an attack`},
		{eval + "--norm l7", `norm "l7": want linf or l2`},
		{eval + "--norm l2", "norm l2 needs an eps too"},
		{eval + "--eps 8", "eps 8 for linf: want from 0 to 1"},
		{eval + "--attack natural --eps 8", "eps 8 for linf: want from 0 to 1"},
		{eval + "--attack fgsm --eps 1.5", "eps 1.5 for linf: want from 0 to 1"},
		{eval + "--eps -0.1", "want a size of at least 0"},
		{eval + "--eps NaN", "want a size of at least 0"},
		{eval + "--eps 8/0", "want a size of at least 0"},
		{eval + "--eps eight", "want a size of at least 0"},
		{eval + "--step-size -1", "--step-size: "},
		{eval + "--step-size 2", "step size 2: want at least 0, in pixel units"},
		{eval + "--steps 0", "--steps 0: want at least 1"},
		{eval + "--attack natural --steps -3", "--steps -3: want at least 1"},
		{eval + "--steps many", `invalid argument "many" for "--steps"`},
		{eval + "--queries 0", "--queries 0: want at least 1"},
		{eval + "--restarts 0", "--restarts 0: want at least 1"},
		{eval + "--start here", `start "here": want one of none, uniform, uniform-unclipped, normal`},
		{eval + "--loss hinge", `loss "hinge": want one of ce, kl, cw, dlr`},
		{eval + "--attack natural --loss hinge", `loss "hinge"`},
		{eval + "--batch 0", "--batch 0: want at least 1"},
		{eval + "--json no/out.json", "there is no folder no"},
		{eval + "--json run", "run is a folder"},
		{eval + "--rows 0", "--rows 0: want at least 1"},
		{eval + "--devices 3 --rows 4", "--devices 3: want a number that divides --rows 4"},
		{train + "--devices 3", "batch 8: want a multiple of the 3 devices"},
		{train + "--devices 2 --backend go", "--devices 2: backend: devices 2: the pure Go backend offers one"},
		{train + "--data-on-device maybe", `data_on_device "maybe": accepted are on, off`},
		{eval + "--diagnose yes", `--diagnose "yes": accepted are quick, full, off`},
		{eval + "--target cat", `target "cat": want one of none, likeliest`},
		{eval + "--card no/card.json", "there is no folder no"},
		{eval + "--state run", "run is a folder"},
		{eval + "--save no/adv.npz", "there is no folder no"},
		{eval + "--save run", "the folder run is not empty"},
		{eval + "--save images.bin", "want an .npz file or a folder"},
		{eval + "--mean 0.5,0.5,0.5", "--mean and --std: want both or none"},
		{eval + "--mean 0.5,0.5 --std 0.2,0.2", "mean"},
		{eval + "--mean 1,2,x --std 1,1,1", "want three numbers"},
		{eval + "--mean 0,0,0 --std 1,0,1", "std above 0"},
		{eval + "--backend abacus", "unknown backend \"abacus\""},
		{eval + "--network best", "only run folders hold several networks"},
		{"eval --weights run --data images.bin --width 4", "the run folder run holds resnet18 of width 2"},
		{"eval --weights run --data images.bin --width 2 --arch resnet34", "the run folder run holds resnet18 of width 2"},
		{"eval --weights run --data images.bin --mean 0,0,0 --std 1,1,1", "the run folder run says itself"},
		{"eval --weights run --data images.bin --network teacher", `--network "teacher": the run folder run (method natural) has student, best`},

		{eval + "--weights zoo:natural --width 32", "--arch, --width: zoo:natural is a resnet18 of width 16"},
		{"eval --weights zoo:natural --arch resnet34", "--arch, --width: zoo:natural is a resnet18 of width 16"},
		{"eval --weights zoo:natural --mean 0,0,0 --std 1,1,1", "--mean, --std: zoo:natural gets images as they are"},
		{eval + "--card out.json", "--json and --card: both would be out.json"},
		{eval + "--state ./out.json", "--json and --state: both would be out.json"},
		{eval + "--attack pgd20 --queries 5", "--queries: pgd20 does not heed it"},
		{eval + "--attack fgsm --steps 3", "--steps: fgsm does not heed it"},
		{eval + "--attack fgsm,natural --restarts 3", "--restarts: fgsm, natural does not heed it"},
		{eval + "--backend xla:/none/plugin.so", "--backend: backend: "},
		{"attack --weights w.safetensors,w.safetensors --width 2", "--weights: w.safetensors appears twice"},

		{"train --method natural", "--out is missing"},
		{"train --out new", "--method is missing: accepted are " + strings.Join(cureml.MethodNames(), ", ")},
		{train + "--method sgd", `unknown method "sgd": accepted are ` + strings.Join(cureml.MethodNames(), ", ")},
		{train + "--arch vgg", `unknown arch "vgg"`},
		{train + "--data none", "--data: none: no such file or folder"},
		{train + "--init none.pt", "--init: none.pt: no such file or folder"},
		{train + "--batch 17", "--batch 17: images.bin has 16 training images"},
		{train + "--batch 0", "batch 0: want 1 to 1073741824"},
		{train + "--epochs 0", "epochs 0: want 1 to 1073741824"},
		{train + "--eps 8", "attack.eps 8: want [0,1] pixel units"},
		{train + "--eps nan", "--eps: "},
		{train + "--lr 0", "learning rate 0: want a value in (0, 100]"},
		{train + "--schedule linear", `schedule "linear": accepted are constant, cosine, onecycle`},
		{train + "--method cure --face other", `cure.face "other": accepted are paper, released, rgp_soft`},
		{train + "--method cure --percentile 30", "percentile 30: want a value in [0, 1]"},
		{train + "--beta 3", "--beta: method natural does not use it, only fat-trades, trades: "},
		{train + "--method mart --beta 3", "--beta: method mart does not use it"},
		{train + "--method trades --percentile 0.3", "--percentile: method trades does not use it, only cure, cure-eff: "},
		{train + "--face released", "--face: method natural does not use it"},
		{train + "--teacher zoo:trades", "--teacher: method natural does not use it, only akd2, ard, iad-1, iad-2: "},
		{train + "--method ard --teacher zoo:trades --natural-teacher zoo:natural", "--natural-teacher: method ard does not use it"},
		{train + "--extra none.npz", "--extra: none.npz: no such file or folder"},
		{train + "--extra images.bin --extra-fraction 2", "extra.fraction 2: want the share of extra images in a batch"},
		{train + "--extra-fraction 0.5", "extra.data is empty"},
		{train + "--set awp.gamma=-1", "awp.gamma -1: want 0 (off) or more"},
		{train + "--set rwp.gamma=0.01", "method natural makes no adversarial images"},
		{train + "--validation 1", "validation 1: want a share in [0, 1)"},
		{train + "--config none.json", "--config: none.json: no such file or folder"},
		{train + "--config images.bin", "--config images.bin: cureml: config: "},
		{train + "--method ard", "--teacher is missing: ard learns from a robust teacher: name a run folder, a weights file or zoo:NAME"},
		{train + "--method iad-2 --teacher zoo:trades", "--natural-teacher is missing: iad-2 learns from a natural teacher"},
		{train + "--method hat", "--natural-teacher is missing"},
		{train + "--method iad-1 --teacher none.pt", "--teacher: none.pt: no such file or folder"},
		{train + "--method akd2 --teacher w.safetensors --natural-teacher none", "--natural-teacher: none: no such file or folder"},
		{train + "--method ard --teacher zoo:none", "--teacher zoo:none: shipped networks are zoo:cure, zoo:natural"},
		{train + "--method ard --teacher .", "--teacher: . is neither a file with weights nor a run folder"},
		{train + "--method ard --teacher w.safetensors --set ard.temperature=0", "ard.temperature 0: want a value above 0"},
		{train + "--method act --set act.natural.arch=vgg", `act.natural: nn: unknown arch "vgg"`},
		{train + "--out run", "run holds a run already: go on with it with --resume"},
		{"train --resume --out new", "new holds no run to go on with"},

		{"analyze masks --rules other", `--rules other: cureml: cure.face "other": accepted are paper, released, rgp_soft`},
		{"analyze masks --rules theta=1", "--rules theta=1: "},
		{"analyze masks --rules paper+percentile=0", "percentile 0: want a share between 0 and 1"},
		{"analyze masks --batch 1", "--batch 1: want at least 2"},
		{"analyze masks --eps eight", "--eps: "},
		{"analyze masks --steps 0", "attack.steps 0: want 1 to 10000"},
		{"analyze masks --step-size -1", "--step-size: "},
		{"analyze masks --run none", "--run: none is no run folder"},
		{"analyze masks --run run --weights w.safetensors", "--weights and --run: want one of them"},
		{"analyze masks --run run --width 2", "--width and --run: want one of them"},
		{"analyze gradients --run run --network best", "--network and --run: want one of them"},
		{"analyze masks --weights none.pt", "--weights: none.pt: no such file or folder"},
		{"analyze masks --out w.safetensors", "w.safetensors is a file: want the name of a folder"},
		{"analyze gradients --percentile 1", "--percentile 1: want a share between 0 and 1"},
		{"analyze gradients --alpha 2", "--alpha 2: want a share in [0, 1]"},
		{"analyze gradients --batch 0", "--batch 0: want at least 2"},
		{"analyze gradients --eps 2", "attack.eps 2: want [0,1] pixel units"},
		{"analyze gradients --run none", "--run: none is no run folder"},
		{"analyze revision", "--run is missing: the folder of a run of CURE with snapshots"},
		{"analyze revision --run none", "--run: none is no run folder"},
		{"analyze revision --run run --attack pgd21", `--attack: `},
		{"analyze revision --weights w.safetensors", "unknown flag: --weights"},

		{"export", "0 arguments: want one, a run folder or a file with weights"},
		{"export w.safetensors --out new.safetensors --shard many", `--shard "many": want a size such as 15MB`},
		{"export w.safetensors --out new.bin --shard 1MB", "new.bin: shards need a name that ends with .safetensors"},
		{"export w.safetensors --shard 1MB", "--out is missing"},
		{"export none.pt --out new.safetensors", "none.pt: no such file or folder"},
		{"export run", "--out is missing"},
		{"export run --out w.safetensors", "w.safetensors exists: choose another name, or replace it with --force"},
		{"export run --out run --force", "run is a folder"},
		{"export w.safetensors --out no/new.safetensors", "there is no folder no"},
		{"export w.safetensors --out /dev/full --force", "no regular file"},
		{"export run --out new.pt", "--out: new.pt: safetensors is written, which PyTorch does not read from a .pt file"},
		{"export zoo:none --out new.safetensors", "shipped networks are zoo:cure"},

		{"bench --only fast-step", `unknown step "fast-step": accepted are ` + strings.Join(bench.Names(), ", ")},
		{"bench --only natural-step,natural-step", "asked for twice"},
		{"bench --arch vgg", `unknown arch "vgg"`},
		{"bench --width wide", `--width "wide": want whole numbers`},
		{"bench --compute float16", `compute "float16": accepted are float32, bfloat16`},
		{"bench --only batches --compute bfloat16", "batches resnet18 width 16 batch 64, bfloat16: only steps of training"},
		{"bench --batch 0", "batch 0: want 1 to 1073741824"},
		{"bench --backend abacus", "--backend: backend: unknown backend"},
		{"bench shapes --peers jax", "--peers jax: want none, auto or pytorch"},
		{"bench scaling --png scaling.txt", "--png: scaling.txt: want a name that ends with .png"},
		{"bench autoattack --backend abacus", "--backend: backend: unknown backend"},
		{"bench autoattack --rows -1", "--rows -1: want at least 1"},
		{"bench autoattack --threads 2", "--threads: it is for the official code: want --official too"},
		{"bench autoattack --records 0:2 --official run --threads 0", "--official: bench: 0 threads: want at least 1"},
		{"bench autoattack --records 0:2 --data images.bin --weights w.safetensors --width 2 --official run --python none", "none cannot run the official code in run"},
		{"bench --steps 0", "--steps 0: want at least 1"},
		{"bench --most -1s", "--most -1s: want 0 or more"},
		{"bench --suite huge", `unknown suite "huge": accepted are ` + strings.Join(bench.Suites(), ", ")},
		{"bench --suite quick --width 2", "--suite and --width: want one of them"},
		{"bench --peers pytorch --python none", "--peers pytorch: none cannot be asked for its libraries"},
		{"bench scaling --devices 0", "--devices 0: want 1 to 64"},
		{"bench shapes --width 0", "width 0, batch 64: want 1 to 1024"},
		{"bench scaling --png no/scaling.png", "there is no folder no"},
		{"bench --json no/bench.json", "there is no folder no"},
		{"bench-worker", "this command is for 'cure bench' to start"},

		{"analyze layerwise", "--out is missing: the folder of the runs and the results"},
		{"analyze layerwise --out new --preset huge", `unknown preset "huge": accepted are ci, mini, paper`},
		{"analyze layerwise --out new --blocks 1,6", `blocks "6": accepted are 1, 2, 3, 4, 5, 12`},
		{"analyze layerwise --out new --blocks 1,U-1", "blocks 1 appear twice"},
		{"analyze layerwise --out new --start new", `start "new": accepted are both, natural, reinit`},
		{"analyze layerwise --out new --stem none", `stem "none": accepted are block1, frozen, trained`},
		{"analyze layerwise --out new --frozen-bn both", `batch norm of frozen blocks "both": accepted are fixed, moving`},
		{"analyze layerwise --out images.bin", "images.bin is a file: want the name of a folder"},
		{"analyze layerwise --out new --saved none", "--saved: none: no such file or folder"},
		{"analyze overfitting --out new --keep images.bin", "images.bin is a file: want the name of a folder"},
		{"analyze overfitting --out new --methods at,mart", `method "mart": accepted are at, trades, cure, at+awp, at+average`},
		{"analyze overfitting --out new --methods at,at", "method at appears twice"},
		{"analyze overfitting --out new --preset ci --backend abacus", `unknown backend "abacus"`},
		{"analyze overfitting now --out new", `unexpected argument "now"`},
		{"analyze corruptions --only rain", `unknown corruption "rain": want one of gaussian_noise`},
		{"analyze corruptions --only fog,weather", "fog appears twice"},
		{"analyze corruptions --corrupted none", "--corrupted: none: no such file or folder"},
		{"analyze corruptions --corrupted run", "--corrupted: data: run/labels.npy: no such file"},
		{"analyze corruptions --state no/state", "there is no folder no"},
		{"analyze corruptions --baseline other --width 2 --data images.bin --records 0:2 --only fog --weights w.safetensors", `--baseline "other": want one of the networks, such as w.safetensors`},
		{"analyze min-perturbation --attack pgd20", "--attack pgd20: want searches for smallest perturbations: fab-min, ddn, fmn-l2"},
		{"analyze min-perturbation --attack ddn,none", `unknown attack "none"`},
		{"analyze min-perturbation --attack ddn,fmn-linf", "--attack: ddn is in l2 and fmn-linf in linf: want searches in one norm"},
		{"analyze min-perturbation --steps -1", "--steps -1, --examples 5: want 0 or more steps"},
		{"analyze min-perturbation --examples 13", "0 to 12 examples"},
		{"analyze min-perturbation --state no/state", "there is no folder no"},
		{"analyze min-perturbation --records 0:0", "want a:b"},
		{"analyze min-perturbation --out images.bin", "--out: images.bin is a file"},
		{"analyze landscape --plane 4", "plane: 4 points: want an odd number from 3 to 201"},
		{"analyze landscape --range 0", "range 0: want more than 0"},
		{"analyze landscape --reach wide", `eps "wide": want a size of at least 0`},
		{"analyze landscape --steps 0", "0 steps: want at least 1"},
		{"analyze linearity --eps 2", "eps 2: want more than 0, and at most 1"},
		{"analyze linearity --h 0", "h 0: want more than 0"},
		{"analyze linearity --profile 1", "1 points of the profile: want at least 2"},
		{"analyze lipschitz --step-size 0", "step size 0: want more than 0"},
		{"analyze lipschitz --steps -1", "-1 steps: want at least 1"},
		{"analyze calibration --attack fgsm,pgd20", "--attack fgsm,pgd20: want one attack"},
		{"analyze calibration --attack natural", "--attack natural: want one attack"},
		{"analyze calibration --bins 0", "0 bins: want 1 to 1000"},
		{"analyze boundary --attack pgd20-l2", "pgd20-l2 does not look for smallest perturbations: want fmn-l2"},
		{"analyze boundary --attack fmn-linf", "fmn-linf searches in linf: want l2"},
		{"analyze boundary --directions 0", "0 directions, 20 grid points, 10 bisections: want at least 1, 1 and 0"},
		{"analyze transfer --attack natural", "natural attacks nothing: want attacks"},
		{"analyze transfer --attack sgd", `unknown attack "sgd": want one of natural, fgsm`},
		{"analyze fairness --attack fgsm,natural", "natural attacks nothing: want attacks"},
		{"analyze sparsity --attack natural", "natural attacks nothing: want attacks"},

		{"benchmark", "--out is missing"},
		{"benchmark --out o --saved none", "--saved: none: no such file or folder"},
		{"benchmark --out new --preset huge", `unknown preset "huge": accepted are ci, mini, paper`},
		{"benchmark --out new --methods trades,sgd", `--methods: recipes: unknown row "sgd": accepted are natural, at, trades`},
		{"benchmark --out new --arch vgg", `--arch: nn: unknown arch "vgg"`},
		{"benchmark --out new --width -2", "width -2: want a base width"},
		{"benchmark --out new --seeds 0,x", `--seeds "0,x": want whole numbers from 0 on`},
		{"benchmark --out new --seeds 0,0", `--seeds "0,0": seed 0 appears twice`},
		{"benchmark --out new --table --methods trades", "--methods and --table: the table is of all cards"},
		{"benchmark --out new --seeds -1", "want whole numbers from 0 on"},
		{"benchmark --out new --data none", "--data: none: no such file or folder; also accepted is mini"},
		{"benchmark --out new --test-data none", "--test-data: none: no such file or folder; also accepted is mini"},
		{"benchmark --out new --autoattack -2", "--autoattack -2: want a number of images"},
		{"benchmark --out new --epochs -1", "--epochs -1: want 1 or more"},
		{"benchmark --out new --devices 0", "--devices 0: want at least 1"},
		{"benchmark --out new --rows -1", "--rows -1: want at least 1"},
		{"benchmark --out images.bin", "images.bin is a file: want a folder"},
		{"benchmark --out new --table", "new has no cards of a benchmark"},
		{"benchmark now --out new", `unexpected argument "now"`},
		{"sweep fetch", `unknown command "fetch": accepted are plan, task, run, status, merge, slurm, kubernetes`},
		{"sweep plan", "--out is missing"},
		{"sweep plan --out images.bin", "images.bin is a file: want a folder"},
		{"sweep plan --out new --gflops 0", "--gflops 0: want a number above 0"},
		{"sweep plan --out new --preset huge", `unknown preset "huge": accepted are ci, mini, paper`},
		{"sweep plan --out new --methods sgd", `unknown row "sgd": accepted are natural, at, trades`},
		{"sweep plan --out new --seeds 0,x", `--seeds "0,x": want whole numbers from 0 on`},
		{"sweep plan --out new --seeds 1,1", "seed 1 appears twice"},
		{"sweep plan --out new --width 16,wide", `--width "16,wide": want whole numbers`},
		{"sweep plan --out new --width -1", "width -1: want a base width of 1 to 1024"},
		{"sweep plan --out new --arch vgg", `unknown arch "vgg": accepted are resnet18`},
		{"sweep plan --out new --data none", "/none: no such file or folder; also accepted is mini"},
		{"sweep plan --out new --attack pgd21", `unknown attack "pgd21": want one of natural, fgsm`},
		{"sweep plan --out new --attack autoattack", "every card has these"},
		{"sweep plan --out new --shard -1", "shard -1: want 1 or more images"},
		{"sweep plan --out new --autoattack -2", "autoattack -2: want a number of images"},
		{"sweep plan --out new --grid none.json", "--grid: none.json: no such file or folder"},
		{"sweep plan --out new --grid images.bin", "sweep: images.bin: "},
		{"sweep plan --out new --grid images.bin --seeds 1", "--grid and --seeds: want one or the other"},
		{"sweep task", "--out is missing"},
		{"sweep task --out new --moved sweeps", `--moved "sweeps": want FROM=TO`},
		{"sweep task --out new --index 0", "new holds no sweep: 'cure sweep plan' makes one"},
		{"sweep run --out new --jobs 0", "--jobs 0: want at least 1"},
		{"sweep status --out new", "new holds no sweep"},
		{"sweep merge --out new", "new holds no sweep"},
		{"sweep slurm --out new", "new holds no sweep"},
		{"sweep kubernetes --out new", "new holds no sweep"},
		{"recipe fetch", `unknown command "fetch": accepted are list, show, run`},
		{"recipe list all", `unexpected argument "all"`},
		{"recipe show", "0 arguments: want one, a row"},
		{"recipe show sgd", `unknown row "sgd": accepted are natural, at, trades`},
		{"recipe show table", `"table": want one row`},
		{"recipe show cure --data none", "--data: none: no such file or folder; also accepted is mini"},
		{"recipe show cure --preset huge", `unknown preset "huge"`},
		{"recipe show cure --arch vgg", `unknown arch "vgg"`},
		{"recipe show cure --arch resnet18,resnet34", "want one network"},
		{"recipe show cure --preset paper --arch resnet50", "no paper-scale recipe for resnet50: it has one for resnet18, wrn-34-10"},
		{"recipe run cure", "--out is missing"},
		{"recipe run sgd --out new", `unknown row "sgd"`},
		{"recipe run cure --out images.bin", "images.bin is a file: want a folder"},

		{"analyze everything", `unknown analysis "everything": accepted are similarity`},
		{similar + "--measures cka-linear,cosine", `--measures: unknown measure "cosine": accepted are all, cka-linear, `},
		{similar + "--measures ,", "--measures is empty: accepted are all, cka-linear"},
		{similar + "--attack pgd21", `unknown attack "pgd21": want one of natural, fgsm`},
		{similar + "--attack ddn", "--attack ddn: want an untargeted PGD"},
		{similar + "--minibatch 3", "--minibatch 3"},
		{similar + "--threshold 0", "--threshold 0: want at least 1, 4, 1 and more than 0"},
		{similar + "--records 4:4", "0 <= a < b <= 16"},
		{similar + "--out images.bin", "images.bin is a file: want the name of a folder"},
		{similar + "--weights w.safetensors,none.pt", "--weights: none.pt: no such file or folder"},
		{features + "--steps 0", "--steps 0"},
		{features + "--learn -1", "--learn -1, --epochs 10: want at least 1, 1, 1, 0 and 1"},
		{features + "--learn 8", "want two images or more, and two networks for --learn"},
		{features + "--records 0:1", "1 networks and 1 images: want two images or more"},
		{features + "--epochs 3", "--epochs: without --learn nothing is trained"},
		{features + "--runs new", "--runs: without --learn nothing is trained"},
		{features + "--invert foo", "--invert foo: accepted for resnet18-w2 are stem, layer1.0, layer1.1"},
		{features + "--block pooled", "--block pooled: accepted for resnet18-w2 are stem, layer1.0"},
		{features + "--attack cw", `unknown attack "cw"`},
		{features + "--learn 4 --runs images.bin", "images.bin is a file: want the name of a folder"},

		{"data info", "0 arguments: want one"},
		{"data info none", "PATH: none: no such file or folder; also accepted is mini"},
		{"data fetch", `unknown command "fetch": accepted are list, download, info, corrupt`},
		{"data corrupt --out c", "0 arguments: want one, mini, or the path of a data set"},
		{"data corrupt none --out c", "PATH: none: no such file or folder; also accepted is mini"},
		{"data corrupt images.bin", "--out is missing: want a folder to make"},
		{"data corrupt images.bin --out no/c", "there is no folder no"},
		{"data corrupt images.bin --out run", "the folder run is not empty"},
		{"data corrupt images.bin --out images.bin", "want a folder to make"},
		{"data corrupt images.bin --out c --only rain", `unknown corruption "rain": want one of gaussian_noise`},
		{"data corrupt images.bin --out c --only fog,weather", "fog appears twice"},
		{"data corrupt images.bin --out c --records 4:3", "0 <= a < b <= 16"},
		{"data corrupt images.bin --out c --split val", `--split "val": accepted are train, test`},
		{"data corrupt images.bin --out c --seed -1", `invalid argument "-1" for "--seed"`},
		{"data corrupt images.bin --out c --workers -1", "--workers -1: want 0"},
		{"data download imagenet", `unknown data set "imagenet": accepted are cifar-10, cifar-100, svhn`},
		{"setup now", `unexpected argument "now"`},
		{"doctor --colour", "unknown flag: --colour"},
	}
	before := files(t, dir)
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			wantFailure(t, finish(t, command(dir, strings.Fields(c.args)...)), 2, c.want)
		})
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("files before: %v\nfiles after: %v", before, after)
	}
}

// TestFailures: what is right on the command line and cannot be done ends with code 1 and one line.
func TestFailures(t *testing.T) {
	dir := workplace(t)
	save(t, network(t, 100), filepath.Join(dir, "hundred.safetensors"))
	for name, content := range map[string]string{"damaged.safetensors": "\xff\xff\xff\xff\x00\x00\x00\x00{}", "text.pt": "hello", "short.bin": "\x01\x02"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	eval := "eval --data images.bin --json out.json --width 2 "
	cases := []struct{ args, want string }{
		{eval + "--weights damaged.safetensors", "damaged.safetensors"},
		{eval + "--weights text.pt", "neither safetensors nor a file of torch.save"},
		{eval + "--weights w.safetensors --width 4", "the file holds resnet18 of width 2 with 10 classes, not resnet18 of width 4 with 10 classes"},
		{eval + "--weights w.safetensors --arch preactresnet18", "not preactresnet18 of width 2"},
		{eval + "--weights hundred.safetensors", "with 100 classes, not resnet18 of width 2 with 10 classes"},
		{eval + "--weights w.safetensors --data short.bin", "short.bin"},
		{"train --method natural --width 2 --batch 8 --data images.bin --out new --init damaged.safetensors", "damaged.safetensors"},
		{"train --method ard --width 2 --batch 8 --data images.bin --out new --teacher hundred.safetensors", "the robust teacher hundred.safetensors has 100 classes, the student 10"},
		{"train --method hat --width 2 --batch 8 --data images.bin --out new --natural-teacher hundred.safetensors", "the natural teacher hundred.safetensors has 100 classes, the student 10"},
		{"train --method iad-1 --width 2 --batch 8 --data images.bin --out new --teacher damaged.safetensors", "damaged.safetensors"},
		{"export text.pt --out new.safetensors", "neither safetensors nor a file of torch.save"},
		{"data info short.bin", "short.bin"},
	}
	for _, c := range cases {
		t.Run(c.args, func(t *testing.T) {
			wantFailure(t, finish(t, command(dir, strings.Fields(c.args)...)), 1, c.want)
		})
	}
	for _, name := range []string{"out.json", "new.safetensors", "new"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was written", name)
		}
	}
}

// TestFullDisk: where a result cannot be written there is one line, code 1 and no part of a file.
func TestFullDisk(t *testing.T) {
	dir := workplace(t)
	eval := strings.Fields("eval --width 2 --weights w.safetensors --data images.bin --records 0:2 --attack natural --json")
	t.Run("report", func(t *testing.T) { wantFullDisk(t, dir, 100, append(eval, "out.json")...) })
	t.Run("export", func(t *testing.T) {
		wantFullDisk(t, dir, 10000, "export", "w.safetensors", "--out", "copy.safetensors")
	})
	t.Run("run", func(t *testing.T) {
		wantFullDisk(t, dir, 10000, strings.Fields("train --method natural --width 2 --epochs 1 --batch 8 --data images.bin --eval-every 0 --out run")...)
		for _, name := range files(t, filepath.Join(dir, "run")) {
			if strings.Contains(name, "safetensors") {
				t.Errorf("a part of %s was left", name)
			}
		}
	})
	t.Run("device", func(t *testing.T) {
		o := finish(t, command(dir, append(eval, "/dev/full")...))
		o.stderr = strings.Replace(o.stderr, "clean: 100%\n", "", 1)
		wantFailure(t, o, 1, "no space left on device")
		if info, err := os.Stat("/dev/full"); err != nil || info.Mode().IsRegular() {
			t.Error("/dev/full was replaced")
		}
	})
	t.Run("standard output", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		defer full.Close()
		cmd := command(dir, "data", "list")
		cmd.Stdout = full
		wantFailure(t, finish(t, cmd), 1, "standard output: write /dev/stdout: no space left on device")
	})
}

func wantFullDisk(t *testing.T, dir string, limit int, args ...string) {
	t.Helper()
	before := files(t, dir)
	cmd := command(dir, args...)
	cmd.Env = append(cmd.Env, limitEnv+"="+strconv.Itoa(limit))
	o := finish(t, cmd)
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if last := lines[len(lines)-1]; o.code != 1 || !strings.HasPrefix(last, "cure: ") || !strings.Contains(last, "file too large") || strings.Count(o.stderr, "cure: ") != 1 {
		t.Errorf("exit code %d, %s", o.code, o.stderr)
	}
	if args[0] == "train" {
		return
	}
	if after := files(t, dir); !slices.Equal(before, after) {
		t.Errorf("files before: %v\nfiles after: %v", before, after)
	}
}
