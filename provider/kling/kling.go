// Package kling translates between Kinora and Kling's video and image generation, in
// both of its API families: the older one, whose paths begin with /v1 and whose bodies
// name the model, and the newer one, which has the model in the path. Facts are those
// of Kling's API documentation; where it says nothing, comments say what was chosen.
package kling

import (
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "kling"

// The account settings that are read.
const (
	SettingAPIKey        = "api_key"
	SettingAccessKey     = "access_key"
	SettingSecretKey     = "secret_key"
	SettingWebhookSecret = "webhook_secret"
)

// maxBatch is how many tasks one query of the newer family names. The documents give no
// limit; the ids of these stay far below what any server takes as a URL.
const maxBatch = 100

// New returns the provider. It holds no state.
func New() *Kling { return &Kling{} }

// Kling speaks Kling's protocol. Beside Provider it is a Reconciler, a Router and a
// CallbackVerifier. Kling documents no way to cancel a task.
type Kling struct{}

var (
	_ provider.Provider         = (*Kling)(nil)
	_ provider.Fielder          = (*Kling)(nil)
	_ provider.Reconciler       = (*Kling)(nil)
	_ provider.Router           = (*Kling)(nil)
	_ provider.CallbackVerifier = (*Kling)(nil)
)

// Name implements provider.Provider.
func (*Kling) Name() string { return Name }

// Describe implements provider.Provider.
func (*Kling) Describe() provider.Description {
	return provider.Description{
		Traits: func(upstreamModel string) provider.Traits {
			if f, _ := familyOf(upstreamModel); f == legacy {
				return provider.Traits{Batch: "v1", Callbacks: true}
			}
			return provider.Traits{Batch: "tasks", BatchPoll: maxBatch, Callbacks: true}
		},
		Models: []kinora.Model{
			{Name: "kling-v1", Kind: kinora.KindVideo},
			{Name: "kling-v1-6", Kind: kinora.KindVideo},
			{Name: "kling-v2-master", Kind: kinora.KindVideo},
			{Name: "kling-v2-1-master", Kind: kinora.KindVideo},
			{Name: "kling-v2-5-turbo", Kind: kinora.KindVideo},
			{Name: "kling-v2-6", Kind: kinora.KindVideo},
			{Name: "kling-v3", Kind: kinora.KindVideo},
			{Name: "kling-v3-omni", Kind: kinora.KindVideo},
			{Name: "kling-video-o1", Kind: kinora.KindVideo},
			{Name: "kling-2.5-turbo", Kind: kinora.KindVideo},
			{Name: "kling-2.6", Kind: kinora.KindVideo},
			{Name: "kling-3.0", Kind: kinora.KindVideo},
			{Name: "kling-3.0-turbo", Kind: kinora.KindVideo},
			{Name: "kling-3.0-omni", Kind: kinora.KindVideo},
			{Name: "kling-o1", Kind: kinora.KindVideo},
			{Name: "kling-image-v2-1", Kind: kinora.KindImage, UpstreamModel: "kling-v2-1"},
			{Name: "kling-image-v3", Kind: kinora.KindImage, UpstreamModel: "kling-v3"},
			{Name: "kling-image-v3-omni", Kind: kinora.KindImage, UpstreamModel: "kling-v3-omni"},
			{Name: "kling-image-o1", Kind: kinora.KindImage},
		},
		Poll: provider.Pace{First: 5 * time.Second, Interval: 5 * time.Second, Ceiling: 30 * time.Second},
		Hosts: []provider.Host{
			{Region: "global", BaseURL: "https://api-singapore.klingai.com"},
			{Region: "china", BaseURL: "https://api-beijing.klingai.com"},
		},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "an API key; opens both families, and is the only thing that opens the newer one", Secret: true},
			{Name: SettingAccessKey, Meaning: "an access key, with secret_key in place of an API key; opens the older family only", Secret: true},
			{Name: SettingSecretKey, Meaning: "the access key's secret key", Secret: true},
			{Name: SettingWebhookSecret, Meaning: "the console's Webhook Secret, whsec_…; several, separated by spaces, during a rotation; empty = callbacks are not verified", Secret: true},
		},
	}
}
