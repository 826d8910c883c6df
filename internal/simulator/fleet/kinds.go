package fleet

import (
	"net/http"
	"time"

	"github.com/kinora/kinora/internal/simulator/ark"
	"github.com/kinora/kinora/internal/simulator/comfyui"
	"github.com/kinora/kinora/internal/simulator/google"
	"github.com/kinora/kinora/internal/simulator/kling"
	"github.com/kinora/kinora/internal/simulator/localai"
	"github.com/kinora/kinora/internal/simulator/minimax"
	"github.com/kinora/kinora/internal/simulator/openai"
	"github.com/kinora/kinora/internal/simulator/sandbox"
	"github.com/kinora/kinora/internal/simulator/vidu"
)

// server is a simulated upstream.
type server interface {
	http.Handler
	Close() error
}

// kind is how one of the upstreams is made, and what opens it.
type kind struct {
	name     string
	path     string // of the base URL
	files    string // start of the paths of outputs, or a pattern with "*" for what lies between slashes
	settings map[string]string
	start    func(o Options) (server, func() Activity, error)
	side     string // of which provider it is another side; empty = the provider's own name is its
}

func kinds() []kind {
	key := map[string]string{"api_key": APIKey}
	signed := map[string]string{"api_key": APIKey, "webhook_secret": WebhookSecret}
	return []kind{
		{"sandbox", "", "/v1/files/", signed, startSandbox, ""},
		{"kling", "", "/files/", signed, startKling, ""},
		{"ark", "/api/v3", "/tos/", key, startArk, ""},
		{"minimax", "", "/cdn/", key, startMiniMax, ""},
		{"vidu", "", "/files/", key, startVidu, ""},
		{"comfyui", "", "/view", key, startComfyUI, ""},
		{"localai", "", "/generated-videos/", key, startLocalAI, ""},
		{"google", "", "/v1beta/files/", key, startGoogle, ""},
		{"openai", "/v1", "/v1/videos/*/content", key, startOpenAI(openai.Vendor), ""},
		{"openai-vllm", "/v1", "/v1/videos/*/content", map[string]string{"submit": "multipart", "edits": "multipart", "response_format": "b64_json"}, startOpenAI(openai.VLLM), "openai"},
		{"openai-sglang", "/v1", "/v1/videos/*/content", map[string]string{"submit": "multipart", "edits": "multipart", "seconds": "integer"}, startOpenAI(openai.SGLang), "openai"},
		{"google-vertex", "", "/storage/", nil, startVertex, "google"},
	}
}

func startSandbox(o Options) (server, func() Activity, error) {
	s, err := sandbox.New(sandbox.Config{
		Accounts:   []sandbox.Account{{Key: APIKey, WebhookSecret: WebhookSecret}},
		ImageDelay: o.JobTime, VideoDelay: o.JobTime, KeepFinished: o.Jobs,
	})
	return s, func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Polls
		for _, j := range stats.Jobs {
			a.add(j.ID, j.EndedAt)
		}
		return a
	}, err
}

func startKling(o Options) (server, func() Activity, error) {
	s, err := kling.New(kling.Config{
		Accounts:  []kling.Account{{Key: APIKey, AccessKey: AccessKey, SecretKey: SecretKey, WebhookSecrets: []string{WebhookSecret}}},
		VideoTime: o.JobTime, ImageTime: o.JobTime,
	})
	return s, func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Polls + stats.Lists
		for _, t := range stats.Tasks {
			a.add(t.ID, t.EndedAt)
		}
		return a
	}, err
}

func startArk(o Options) (server, func() Activity, error) {
	s, err := ark.New(ark.Config{
		Accounts:  []ark.Account{{Key: APIKey}},
		QueueTime: o.JobTime / 4, RunTime: o.JobTime - o.JobTime/4, ImageTime: o.JobTime,
	})
	return s, func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Polls + stats.Lists
		for _, t := range stats.Tasks {
			a.add(t.ID, t.EndedAt)
		}
		return a
	}, err
}

func startMiniMax(o Options) (server, func() Activity, error) {
	s, err := minimax.New(minimax.Config{Accounts: []minimax.Account{{Key: APIKey}}, VideoTime: o.JobTime, ImageTime: o.JobTime, Keep: o.Jobs})
	return s, func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Queries + stats.Lists + stats.Files
		for _, j := range s.Jobs() {
			a.add(j.ID, j.EndedAt)
		}
		return a
	}, err
}

func startVidu(o Options) (server, func() Activity, error) {
	s, err := vidu.New(vidu.Config{Accounts: []vidu.Account{{Key: APIKey, Concurrent: o.Jobs}}, VideoTime: o.JobTime, ImageTime: o.JobTime})
	return s, func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Polls + stats.Lists
		for _, t := range stats.Tasks {
			a.add(t.ID, t.EndedAt)
		}
		return a
	}, err
}

func startComfyUI(o Options) (server, func() Activity, error) {
	s, err := comfyui.New(comfyui.Config{Token: APIKey, RunTime: o.JobTime, Parallel: o.Jobs > 1})
	return s, func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Reads
		for _, j := range stats.Jobs {
			a.add(j.ID, j.EndedAt)
		}
		return a
	}, err
}

func startLocalAI(o Options) (server, func() Activity, error) {
	s, err := localai.New(localai.Config{Key: APIKey, Time: o.JobTime})
	return s, func() (a Activity) {
		for _, m := range s.Made() {
			a.add(m.ID, m.At)
		}
		return a
	}, err
}

func startGoogle(o Options) (server, func() Activity, error) {
	s, err := google.New(google.Config{Accounts: []google.Account{{Key: APIKey}}, VideoTime: o.JobTime, ImageTime: o.JobTime})
	return s, activityOfGoogle(s), err
}

func activityOfGoogle(s *google.Simulator) func() Activity {
	return func() (a Activity) {
		stats := s.Stats()
		a.Calls = stats.Polls
		for _, j := range stats.Jobs {
			a.add(j.ID, j.EndedAt)
		}
		return a
	}
}

// startOpenAI starts one that speaks a dialect. Servers of one's own want no key.
func startOpenAI(d openai.Dialect) func(o Options) (server, func() Activity, error) {
	return func(o Options) (server, func() Activity, error) {
		c := openai.Config{Dialect: d, VideoTime: o.JobTime, ImageTime: o.JobTime, ResponseTime: o.JobTime, Keep: o.Jobs}
		if d == openai.Vendor {
			c.Accounts = []openai.Account{{Key: APIKey}}
		}
		s, err := openai.New(c)
		return s, func() (a Activity) {
			stats := s.Stats()
			a.Calls = stats.Polls + stats.Lists
			for _, j := range stats.Jobs {
				a.add(j.ID, j.EndedAt)
			}
			return a
		}, err
	}
}

// Activity is what became of an upstream's work.
type Activity struct {
	// Calls are the requests that ask what has become of jobs: about one, about many, and, where
	// an output's address takes a request of its own, those. Submits, cancels and downloads are
	// none of them.
	Calls int64
	Jobs  []Job // accepted, in no particular order
	// Ended is how many of them have ended.
	Ended int
}

// Job is one accepted job.
type Job struct {
	ID      string
	EndedAt time.Time // zero while in flight
}

func (a *Activity) add(id string, ended time.Time) {
	a.Jobs = append(a.Jobs, Job{id, ended})
	if !ended.IsZero() {
		a.Ended++
	}
}
