// Package sandbox translates between Kinora and the built-in sandbox upstream, which
// draws pictures and clips from the prompt and costs nothing. It is the provider that
// a newcomer's first generation goes through, and the shortest complete example of
// one: every optional capability that the seam offers and the sandbox has is here.
//
// What the sandbox does with a job is not its duty; that is internal/simulator/sandbox,
// whose package comment describes the protocol.
package sandbox

import (
	"strings"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "sandbox"

// The account settings that are read.
const (
	SettingAPIKey        = "api_key"
	SettingWebhookSecret = "webhook_secret"
)

// maxBatch is how many jobs one query may name.
const maxBatch = 200

// New returns the provider. It holds no state.
func New() *Sandbox { return &Sandbox{} }

// Sandbox speaks the sandbox's protocol. Beside Provider it is a Canceler, a
// Reconciler, a CallbackVerifier and a Splitter; its outputs are public URLs.
type Sandbox struct{}

var (
	_ provider.Provider         = (*Sandbox)(nil)
	_ provider.Fielder          = (*Sandbox)(nil)
	_ provider.Canceler         = (*Sandbox)(nil)
	_ provider.Reconciler       = (*Sandbox)(nil)
	_ provider.CallbackVerifier = (*Sandbox)(nil)
	_ provider.Splitter         = (*Sandbox)(nil)
)

// Name implements provider.Provider.
func (*Sandbox) Name() string { return Name }

// Describe implements provider.Provider.
func (*Sandbox) Describe() provider.Description {
	return provider.Description{
		Models: []kinora.Model{
			{Name: "sandbox-image", Kind: kinora.KindImage},
			{Name: "sandbox-image-callback", Kind: kinora.KindImage},
			{Name: "sandbox-video", Kind: kinora.KindVideo},
			{Name: "sandbox-video-callback", Kind: kinora.KindVideo},
		},
		// The models come in both flavours, so that a caller can try either.
		Traits: func(model string) provider.Traits {
			return provider.Traits{BatchPoll: maxBatch, Callbacks: strings.HasSuffix(model, "-callback")}
		},
		Poll: provider.Pace{First: 300 * time.Millisecond, Interval: 250 * time.Millisecond, Ceiling: 5 * time.Second},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "a key that the sandbox knows", Required: true, Secret: true},
			{Name: SettingWebhookSecret, Meaning: "the secret that the sandbox signs callbacks with, whsec_ and base64; empty = callbacks are not verified", Secret: true},
		},
	}
}
