// Package comfyui translates between Kinora and ComfyUI servers, which a team runs by
// itself: a generation fills an operator's own workflow and is run as one prompt. Facts in this
// package are those of ComfyUI's own server code, by way of contracts "upstream-others" 7.4.
package comfyui

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/kinora/kinora/provider"
)

// Name is the provider's word in configuration.
const Name = "comfyui"

// SettingAPIKey is the account setting with the token of a proxy in front of the server.
const SettingAPIKey = "api_key"

// New returns the provider with an operator's workflows by name, which is what a model has as
// its upstream model.
func New(workflows map[string]*Workflow) *ComfyUI { return &ComfyUI{workflows: workflows} }

// ComfyUI speaks to ComfyUI servers. Beside Provider it is a Canceler, a Reconciler and an
// Opener: outputs are read from the account's own server.
type ComfyUI struct{ workflows map[string]*Workflow }

var (
	_ provider.Provider   = (*ComfyUI)(nil)
	_ provider.Fielder    = (*ComfyUI)(nil)
	_ provider.Canceler   = (*ComfyUI)(nil)
	_ provider.Reconciler = (*ComfyUI)(nil)
	_ provider.Opener     = (*ComfyUI)(nil)
)

// Name implements provider.Provider.
func (*ComfyUI) Name() string { return Name }

// Describe implements provider.Provider. There are no public hosts and no models of its own.
func (*ComfyUI) Describe() provider.Description {
	return provider.Description{
		Poll: provider.Pace{First: time.Second, Interval: time.Second, Ceiling: 5 * time.Second},
		Settings: []provider.Setting{
			{Name: SettingAPIKey, Meaning: "the bearer token that a proxy in front of the server wants; ComfyUI itself has none", Secret: true},
		},
	}
}

// promptID is the id under which an attempt's prompt is run: ComfyUI lets its client choose,
// and wants a lower-case UUID. It depends on the attempt alone, so that a prompt whose answer
// was lost can be asked for.
func promptID(clientRef string) string {
	sum := sha256.Sum256([]byte("kinora " + clientRef))
	sum[6] = sum[6]&0x0f | 0x80 // version 8: of our own making
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// seedOf is the seed of an attempt that was given none, the same whenever the attempt is.
func seedOf(clientRef string) int {
	sum := sha256.Sum256([]byte("seed " + clientRef))
	return int(sum[0])<<24 | int(sum[1])<<16 | int(sum[2])<<8 | int(sum[3])
}
