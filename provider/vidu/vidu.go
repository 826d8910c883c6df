// Package vidu translates between Kinora and the Vidu API (platform.vidu.com and
// platform.vidu.cn): text, image, start-and-end and reference videos, templates,
// multi-frame videos, and images. Everything there is an asynchronous task with one
// shape, whatever the route; facts in this package are those of the vendor's API
// documents unless a comment says otherwise.
package vidu

import (
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
	"github.com/kinora/kinora/provider/lenient"
)

// Name is the provider's word in configuration.
const Name = "vidu"

// The account settings that are read.
const (
	SettingAPIKey  = "api_key"
	SettingOldKeys = "old_api_keys"
)

const (
	// maxBatch is how many tasks one list query may name: the largest page.
	maxBatch = 100
	// offPeakLife is when Vidu cancels an off-peak task by itself, and refunds it.
	offPeakLife = 48 * time.Hour
	// offPeakGrace lets Vidu's own end be seen before the generation's deadline.
	offPeakGrace = time.Hour
	// offPeakPause is between two looks at a task that may take two days.
	offPeakPause = 2 * time.Minute
)

// New returns the provider. It holds no state.
func New() *Vidu { return &Vidu{} }

// Vidu speaks the Vidu API. Beside Provider it is a Canceler, a Reconciler, a
// CallbackVerifier and a Patient; its outputs are public, signed URLs.
type Vidu struct{}

var (
	_ provider.Provider         = (*Vidu)(nil)
	_ provider.Fielder          = (*Vidu)(nil)
	_ provider.Canceler         = (*Vidu)(nil)
	_ provider.Reconciler       = (*Vidu)(nil)
	_ provider.CallbackVerifier = (*Vidu)(nil)
	_ provider.Patient          = (*Vidu)(nil)
)

// Name implements provider.Provider.
func (*Vidu) Name() string { return Name }

// Describe implements provider.Provider. All models are alike: any task can be listed
// with any other, takes a callback URL, and is asynchronous, images too.
func (*Vidu) Describe() provider.Description {
	return provider.Description{
		Models: models(),
		Traits: func(string) provider.Traits {
			return provider.Traits{BatchPoll: maxBatch, Callbacks: true}
		},
		Poll: provider.Pace{First: 10 * time.Second, Interval: 15 * time.Second, Ceiling: 30 * time.Second},
		Hosts: []provider.Host{
			{Region: "global", BaseURL: "https://api.vidu.com"},
			{Region: "china", BaseURL: "https://api.vidu.cn"},
		},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "the API key; it also signs the callbacks of the tasks made with it", Required: true, Secret: true},
			{Name: SettingOldKeys, Meaning: "earlier API keys, separated by commas, whose tasks may still call back; empty = none", Secret: true},
		},
	}
}

// models are the public names; viduq2 and viduq1 make videos and images under one id.
func models() []kinora.Model {
	var out []kinora.Model
	for _, id := range []string{
		"viduq3", "viduq3-pro", "viduq3-pro-fast", "viduq3-turbo",
		"viduq2", "viduq2-pro", "viduq2-pro-fast", "viduq2-turbo",
		"viduq1", "viduq1-classic", "vidu2.0", "vidu1.5",
	} {
		out = append(out, kinora.Model{Name: id, Kind: kinora.KindVideo})
	}
	return append(out,
		kinora.Model{Name: "viduq2-image", Kind: kinora.KindImage, UpstreamModel: "viduq2"},
		kinora.Model{Name: "viduq1-image", Kind: kinora.KindImage, UpstreamModel: "viduq1"},
	)
}

// Patience implements provider.Patient: an off-peak task may take two days.
func (*Vidu) Patience(req provider.Request) time.Duration {
	if offPeak(req) {
		return offPeakLife + offPeakGrace
	}
	return 0
}

func offPeak(req provider.Request) bool {
	on, ok := lenient.Boolean(req.Metadata["off_peak"])
	return ok && on
}

// family is the generation of a model that limits hang on; empty for one not known here.
func family(model string) string {
	for _, f := range []string{"viduq3", "viduq2", "viduq1", "vidu2.0", "vidu1.5"} {
		if rest, ok := strings.CutPrefix(model, f); ok && (rest == "" || rest[0] == '-') {
			return f
		}
	}
	return ""
}
