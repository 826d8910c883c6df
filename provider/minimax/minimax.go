// Package minimax translates between Kinora and MiniMax: the Hailuo videos (API V1), the
// MiniMax-H3 videos (API V2) and the image-01 pictures, which are made while one waits.
//
// The three are different protocols behind one key: V1 answers HTTP 200 to everything and
// says in base_resp what it means, V2 has real statuses, and images have no task at all.
// Which one a model speaks follows from its id, so that a model which appeared after this
// was written works by configuration alone.
//
// The facts come from the API reference that MiniMax publishes (Video Generation, Video
// Generation V2, Image Generation, Error Codes).
package minimax

import (
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "minimax"

// SettingAPIKey is the one account setting. A key works in its own region only.
const SettingAPIKey = "api_key"

// maxBatch is how many tasks one list query of V2 names. The reference gives no largest
// page; this is the page size of its own example.
const maxBatch = 20

// New returns the provider. It holds no state.
func New() *MiniMax { return &MiniMax{} }

// MiniMax speaks MiniMax's protocols. Beside Provider it is a Canceler (V2, while queued)
// and a CallbackVerifier. It is no Reconciler: neither V1 nor V2 takes a reference of
// ours, and V2's list, the only one, is documented to show a prompt of tasks that have
// succeeded and of none what else it was made from: equal requests look the same in it, so
// that nothing upstream tells for certain whose a task is.
type MiniMax struct{}

var (
	_ provider.Provider         = (*MiniMax)(nil)
	_ provider.Fielder          = (*MiniMax)(nil)
	_ provider.Canceler         = (*MiniMax)(nil)
	_ provider.CallbackVerifier = (*MiniMax)(nil)
)

// Name implements provider.Provider.
func (*MiniMax) Name() string { return Name }

// Describe implements provider.Provider.
func (*MiniMax) Describe() provider.Description {
	d := provider.Description{
		Traits: traits,
		// About ten seconds between two looks is the vendor's own advice.
		Poll: provider.Pace{First: 10 * time.Second, Interval: 10 * time.Second, Ceiling: 30 * time.Second},
		Hosts: []provider.Host{
			{Region: "global", BaseURL: "https://api.minimax.io"},
			{Region: "china", BaseURL: "https://api.minimaxi.com"},
		},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "an API key of the account's region", Required: true, Secret: true},
		},
	}
	for _, name := range []string{
		"MiniMax-Hailuo-2.3", "MiniMax-Hailuo-2.3-Fast", "MiniMax-Hailuo-02", "T2V-01", "T2V-01-Director",
		"I2V-01", "I2V-01-Director", "I2V-01-live", "S2V-01", "MiniMax-H3", "MiniMax-H3-Max",
	} {
		d.Models = append(d.Models, kinora.Model{Name: name, Kind: kinora.KindVideo})
	}
	for _, name := range []string{"image-01", "image-01-live"} {
		d.Models = append(d.Models, kinora.Model{Name: name, Kind: kinora.KindImage})
	}
	return d
}

// family is the protocol that a model speaks.
type family string

const (
	hailuo family = "v1"    // POST /v1/video_generation
	h3     family = "v2"    // POST /v2/video_generation
	images family = "image" // POST /v1/image_generation, synchronous
)

// familyOf tells by a model's id which protocol it speaks. Unknown ids are taken for V1
// videos, the oldest and widest of the three, unless they look like the others.
func familyOf(model string) family {
	id := strings.ToLower(model)
	if strings.Contains(id, "image") {
		return images
	}
	// MiniMax-H3 and its successors, but not MiniMax-Hailuo-….
	if rest, ok := strings.CutPrefix(id, "minimax-h"); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		return h3
	}
	return hailuo
}

func traits(model string) provider.Traits {
	switch f := familyOf(model); f {
	case images:
		return provider.Traits{Batch: string(f), Synchronous: true}
	case h3:
		return provider.Traits{Batch: string(f), BatchPoll: maxBatch, Callbacks: true}
	default:
		return provider.Traits{Batch: string(f), BatchPoll: 1, Callbacks: true}
	}
}
