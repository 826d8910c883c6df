// Package ark translates between Kinora and ByteDance's model platform: Volcengine Ark in
// China and BytePlus ModelArk elsewhere, which speak one protocol. Seedance makes videos as
// tasks that are polled, alone or many in one list, and that call back; Seedream makes images
// in the submit call itself.
//
// Protocol facts here are those of the vendor's API reference and of its Go SDK
// (arkruntime); where the two leave something open, the comment says what was chosen.
package ark

import (
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "ark"

// The account settings that are read.
const (
	SettingAPIKey    = "api_key"
	SettingProject   = "project"
	SettingReference = "reference"
)

// referenceOff is the value of SettingReference that keeps Kinora's reference out of tasks.
const referenceOff = "off"

// maxBatch is how many tasks one list query names. The vendor allows pages of 500; a hundred
// ids keep the URL, which repeats a parameter for each, below five kilobytes.
const maxBatch = 100

// New returns the provider. It holds no state.
func New() *Ark { return &Ark{} }

// Ark speaks the protocol of Volcengine Ark and BytePlus ModelArk. Beside Provider it is a
// Canceler, a Reconciler, a CallbackVerifier and Patient; its outputs are public, signed URLs.
type Ark struct{}

var (
	_ provider.Provider         = (*Ark)(nil)
	_ provider.Fielder          = (*Ark)(nil)
	_ provider.Canceler         = (*Ark)(nil)
	_ provider.Reconciler       = (*Ark)(nil)
	_ provider.CallbackVerifier = (*Ark)(nil)
)

// Name implements provider.Provider.
func (*Ark) Name() string { return Name }

// Describe implements provider.Provider.
func (*Ark) Describe() provider.Description {
	return provider.Description{
		Traits: traits,
		Models: models(),
		Poll:   provider.Pace{First: 10 * time.Second, Interval: 10 * time.Second, Ceiling: 30 * time.Second},
		Hosts: []provider.Host{
			{Region: "china", BaseURL: "https://ark.cn-beijing.volces.com/api/v3"},
			{Region: "global", BaseURL: "https://ark.ap-southeast.bytepluses.com/api/v3"},
		},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "the Ark API key; access keys with AK/SK signing are not taken by these routes", Required: true, Secret: true},
			{Name: SettingProject, Meaning: "the Ark project to work in, sent as X-Project-Name; empty = the key's own"},
			{Name: SettingReference, Meaning: "\"off\" = leave safety_identifier to callers; otherwise tasks without one carry the attempt's id there, by which a submit whose answer was lost can be found"},
		},
	}
}

// traits are decided by the model's name alone.
func traits(upstreamModel string) provider.Traits {
	if familyOf(upstreamModel) == images {
		return provider.Traits{Batch: "images", Synchronous: true}
	}
	return provider.Traits{Batch: "tasks", BatchPoll: maxBatch, Callbacks: true}
}

// models are the vendor's documented ids under their own names, which are what callers of
// the submit API send, and the two undated names that such callers know.
func models() []kinora.Model {
	var out []kinora.Model
	add := func(kind kinora.Kind, names ...string) {
		for _, name := range names {
			out = append(out, kinora.Model{Name: name, Kind: kind})
		}
	}
	add(kinora.KindVideo, // China
		"doubao-seedance-2-5-260628", "doubao-seedance-2-0-260128", "doubao-seedance-2-0-fast-260128", "doubao-seedance-2-0-mini-260615",
		"doubao-seedance-1-5-pro-251215", "doubao-seedance-1-0-pro-250528", "doubao-seedance-1-0-pro-fast-251015",
		"doubao-seedance-1-0-lite-t2v-250428", "doubao-seedance-1-0-lite-i2v-250428")
	for _, mode := range []string{"t2v", "i2v"} {
		name := "doubao-seedance-1-0-lite-" + mode
		out = append(out, kinora.Model{Name: name, Kind: kinora.KindVideo, UpstreamModel: name + "-250428"})
	}
	add(kinora.KindVideo, // elsewhere
		"dreamina-seedance-2-0-260128", "dreamina-seedance-2-0-fast-260128", "seedance-1-5-pro-251215",
		"seedance-1-0-pro-250528", "seedance-1-0-pro-fast-251015", "seedance-1-0-lite-t2v-250428", "seedance-1-0-lite-i2v-250428")
	add(kinora.KindImage,
		"doubao-seedream-5-0-260128", "doubao-seedream-4-5-251128", "doubao-seedream-4-0-250828",
		"dola-seedream-5-0-pro-260628", "seedream-5-0-260128", "seedream-5-0-lite-260128", "seedream-4-5-251128", "seedream-4-0-250828")
	return out
}
