package server

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/provider"
)

// The requests that bring about every answer of the OpenAPI document.

const generationTwo = "task_01HF8Z3KQX2A6Y4N3R8M5W7V9Q"

// documentedIDs fill the wildcards of patterns with things that exist.
var documentedIDs = map[string]string{
	"task_id": taskOne, "image_id": taskOne, "video_id": videoOne, "job_id": jobOne, "generation_id": taskOne, "organisation_id": ownID, "key_id": "key_1",
	"endpoint_id": "ep_1", "person_id": personOne, "session_id": sessionOne, "ingest_id": ingestOne, "asset_id": ingestOne,
	"attempt_id": attemptOne, "delivery_id": "dlv_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "replay_id": "rpl_01HF8Z3KQX2A6Y4N3R8M5W7V9P", "provider": "kling", "token": callbackToken, "key": "out/1.png", "path": "api/v1/generations",
}

// newDocumented is a fixture with all surfaces, in which all of documentedIDs exist.
func newDocumented(t *testing.T, change ...func(*Config)) *fixture {
	all := append([]func(*Config){func(c *Config) {
		c.Uploads, c.Admin, c.MasterKeys, c.Webhooks = documentedUploads{}, documentedAdmin{}, documentedMasterKeys{}, documentedWebhooks{}
		c.Accounts = fakeAccounts{}
		c.Reviews = fakeReviews{}
		c.Operator, c.Installation = documentedOperator{}, documentedInstallation{}
		c.Organisations = fakeOrganisations{}
		c.People, c.DashboardURL = fakePeople{}, "https://kinora.example/dashboard"
		c.Streams, c.Assets = documentedStreams{}, documentedAssets{}
		c.Usage = fakeUsage{ledger: map[string][]kinora.UsageEntry{ownID: {entry(3), entry(2), entry(1)}}}
		c.Videos = fakeVideos{c.Generations.(*fakeGenerations)}
		c.Workflows, c.Catalogue = builtIns(t), fakeCatalogue{}
		c.Checks = []Check{{Name: "database", Run: func(context.Context) error { return nil }}}
	}}, change...)
	f := newFixture(t, all...)
	done := &kinora.Generation{
		ID: taskOne, OrganisationID: ownID, Kind: kinora.KindImage, State: kinora.GenerationSucceeded, Progress: 100, CreatedAt: testTime, UpdatedAt: testTime,
		CompletedAt: testTime, Input: kinora.Input{CallbackURL: "https://a.example/", CallbackIgnored: true},
	}
	output := kinora.Output{ID: "out_1", Role: "primary", BlobKey: "out/1.png", Kind: kinora.KindImage, ContentType: "image/png", Width: 8, Height: 8}
	f.generations.store(done, output)
	asJob := *done
	asJob.ID = jobOne
	asJob.SourceAssetID, asJob.Request = ownAsset, &kinora.WorkflowRequest{Workflow: "staging", CaptureType: "photo", Mode: "clean"}
	f.generations.store(&asJob, output)
	f.generations.store(&kinora.Generation{
		ID: generationTwo, OrganisationID: ownID, State: kinora.GenerationFailed, CreatedAt: testTime, UpdatedAt: testTime,
		Failure: kinora.NewFailure(kinora.FailureTimeout, "the deadline has passed"),
	})
	f.put("out/1.png", []byte("content"))
	f.generations.store(videoDone(), videoOutput())
	f.put("out/1.mp4", []byte("moving"))
	return f
}

// exchangeCase is a request and the status that it is to bring about.
type exchangeCase struct {
	method, target, body string
	status               int
	change               []func(*http.Request)
	config               []func(*Config)
	before               func(f *fixture)
}

func documentedExchanges(t *testing.T) []exchangeCase {
	var list []exchangeCase
	add := func(status int, method, target, body string, change ...func(*http.Request)) *exchangeCase {
		list = append(list, exchangeCase{method: method, target: target, body: body, status: status, change: change})
		return &list[len(list)-1]
	}
	accept := func(err error) func(*fixture) {
		return func(f *fixture) {
			f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) { return nil, err }
		}
	}
	add(200, "POST", submitPath, benchBody)
	add(200, "POST", submitPath, input(`,"duration":"5","metadata":"{}"`), header("Idempotency-Key", "a")).before = func(f *fixture) {
		f.generations.accept = func(context.Context, *kinora.Submission) (*kinora.Accepted, error) {
			return &kinora.Accepted{Replayed: true, Generation: &kinora.Generation{ID: taskOne, CreatedAt: testTime, Input: kinora.Input{CallbackIgnored: true}}}, nil
		}
	}
	add(400, "POST", submitPath, `{}`)
	add(400, "POST", submitPath, `{"a":"`+strings.Repeat("x", 1<<20)+`"}`)
	add(409, "POST", submitPath, input("")).before = accept(kinora.Errorf(kinora.ErrConflict, "taken"))
	add(200, "GET", "/api/v1/usage/summary", "")
	add(200, "GET", "/api/v1/billing/events?limit=2", "")
	add(400, "GET", "/api/v1/billing/events?cursor=x", "")
	asCSV := header("Accept", "text/csv")
	add(200, "GET", "/api/v1/billing/events?from=2026-06-01", "", asCSV)
	add(422, "GET", "/api/v1/billing/events?from=yesterday", "", asCSV)
	add(200, "GET", "/api/v1/usage/series?step=hour&by=workflow", "")
	add(200, "GET", "/api/v1/usage/series", "", asCSV)
	add(422, "GET", "/api/v1/usage/series?step=year", "")
	add(402, "POST", submitPath, input("")).before = accept(kinora.Errorf(kinora.ErrBudget, "the budget is spent"))
	add(503, "POST", submitPath, input("")).before = accept(kinora.Errorf(kinora.ErrNoUpstream, "no account"))

	const status, record = "/api/generate/status/", "/api/v1/generations/"
	add(200, "GET", status+taskOne, "")
	add(200, "GET", status+generationTwo, "")
	add(404, "GET", status+"task_00000000000000000000000000", "")
	add(200, "GET", record+taskOne, "")
	add(200, "GET", record+generationTwo, "")
	add(404, "GET", record+"x", "")
	const generationList = "/api/v1/generations"
	add(200, "GET", generationList, "")
	add(200, "GET", generationList+"?status=processing&reference=a&model=m&workflow=w&created_after=2026-06-14T10:30:00Z&created_before=2027-06-14T10:30:00Z&limit=2", "").before = func(f *fixture) {
		g, outputs, _ := f.generations.Generation(t.Context(), ownID, jobOne)
		f.generations.listed = func() ([]kinora.Listed, string, error) {
			return []kinora.Listed{{Generation: g, Outputs: outputs}}, "next", nil
		}
	}
	add(400, "GET", generationList+"?limit=101", "")
	list = append(list, assetExchanges()...)
	making := func(f *fixture) { f.generations.accept = f.generations.make }
	addWrite := func(status int, target, body string) *exchangeCase {
		ex := add(status, "POST", target, body, header("Idempotency-Key", "k"))
		ex.before = making
		return ex
	}
	const regenerate = record + jobOne + "/regenerate"
	addWrite(202, generationList, `{`+ofAsset+cleanPhoto+`}`)
	addWrite(202, regenerate, `{}`)
	for target, good := range map[string]string{generationList: `{` + ofAsset + cleanPhoto + `}`, regenerate: `{}`} {
		add(400, "POST", target, good)
		addWrite(409, target, good).before = func(f *fixture) {
			making(f)
			f.generations.once = map[string]remembered{ownID + " POST " + target + " k": {}}
		}
		ex := addWrite(415, target, "x")
		ex.change = append(ex.change, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") })
	}
	addWrite(422, generationList, `{`+ofAsset+`"workflow":"x"}`)
	addWrite(422, regenerate, `{"workflow":"x"}`)
	addWrite(404, generationList, `{"source_asset_id":"src_x",`+cleanPhoto+`}`)
	addWrite(404, record+"job_00000000000000000000000000/regenerate", `{}`)
	add(200, "GET", record+taskOne+"/events", "")
	add(204, "GET", record+taskOne+"/events", "", header("Last-Event-ID", "succeeded-100"))
	add(404, "GET", record+"x/events", "")
	running := func(f *fixture) {
		f.generations.store(&kinora.Generation{ID: taskOne, OrganisationID: ownID, Surface: kinora.SurfaceSubmit, Model: "m", State: kinora.GenerationRunning, CreatedAt: testTime, UpdatedAt: testTime})
	}
	add(200, "POST", record+taskOne+"/cancel", "").before = running
	add(409, "POST", record+taskOne+"/cancel", "")
	add(404, "POST", record+"x/cancel", "")
	add(200, "GET", "/v1/models", "")
	add(200, "GET", "/v1/models/kling-v1", "")
	add(404, "GET", "/v1/models/none", "")
	add(200, "GET", "/api/v1/models", "")
	add(200, "GET", "/api/v1/models/kling-v1", "")
	add(404, "GET", "/api/v1/models/none", "")
	add(200, "GET", "/api/v1/workflows", "")
	add(200, "GET", "/api/v1/workflows/staging", "")
	add(404, "GET", "/api/v1/workflows/none", "")
	addOpenAIExchanges(add)
	add(200, "GET", eventsPath, "")
	add(200, "GET", eventsPath+"?since=2026-06-14T10:00:00Z", "", header("Last-Event-ID", "1781433000000000-1781432000000000"))
	add(400, "GET", eventsPath+"?since=yesterday", "")
	add(500, "GET", eventsPath, "").config = []func(*Config){func(c *Config) { c.Streams = documentedStreams{errors.New("x")} }}

	form := func(field string) string {
		return "--b\r\nContent-Disposition: form-data; name=\"" + field + "\"; filename=\"cat.png\"\r\n\r\n"
	}
	multipart := func(r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") }
	const upload = "/api/common/upload/"
	add(200, "POST", upload+"stream", form("file")+"content\r\n--b--\r\n", multipart)
	add(400, "POST", upload+"stream", form("file")+"bad\r\n--b--\r\n", multipart)
	add(413, "POST", upload+"stream", form("file")+"large\r\n--b--\r\n", multipart)
	add(422, "POST", upload+"stream", form("other")+"content\r\n--b--\r\n", multipart)
	add(200, "POST", upload+"url", `{"file_url":"https://a.example/content","upload_path":"demo"}`)
	add(400, "POST", upload+"url", `{"file_url":"bad"}`)
	add(413, "POST", upload+"url", `{"file_url":"large"}`)
	add(422, "POST", upload+"url", `{}`)
	add(200, "POST", upload+"base64", `{"base64_data":"content","upload_path":null}`)
	add(400, "POST", upload+"base64", `{"base64_data":"bad"}`)
	add(413, "POST", upload+"base64", `{"base64_data":"large"}`)
	add(422, "POST", upload+"base64", `{}`)

	add(200, "GET", "/files/out/1.png", "")
	add(206, "GET", "/files/out/1.png", "", header("Range", "bytes=0-1"))
	add(416, "GET", "/files/out/1.png", "", header("Range", "bytes=99-"))
	add(403, "GET", "/files/out/1.png?exp=1&n=a&sig=b", "")
	add(404, "GET", "/files/out/2.png", "")
	add(500, "GET", "/files/out/1.png", "").config = []func(*Config){func(c *Config) { c.Files = brokenFiles{errors.New("x")} }}

	callback := func(err error) func(*fixture) {
		return func(f *fixture) {
			f.callbacks.reply = func(context.Context, string, string) (provider.Callback, error) { return provider.Callback{}, err }
		}
	}
	add(200, "POST", callbackPath, "{}")
	add(400, "POST", callbackPath, "").before = callback(kinora.Errorf(kinora.ErrInvalid, "x"))
	add(403, "POST", callbackPath, "").before = callback(kinora.Errorf(kinora.ErrUnauthorized, "x"))
	add(404, "POST", callbackPath, "").before = callback(kinora.Errorf(kinora.ErrNotFound, "x"))
	add(500, "POST", callbackPath, "").before = callback(errors.New("x"))

	const orgs, own, gone = "/admin/v1/organisations", "/admin/v1/organisations/" + ownID, "/admin/v1/organisations/" + otherID
	add(200, "GET", orgs, "")
	add(201, "POST", orgs, `{"name":"Studio Nord"}`)
	add(200, "GET", own, "")
	add(404, "GET", gone, "")
	add(200, "PATCH", own, `{"disabled":true}`)
	add(400, "PATCH", own, `{}`)
	add(404, "PATCH", gone, `{"disabled":true}`)
	add(200, "GET", own+"/keys", "")
	add(404, "GET", gone+"/keys", "")
	add(201, "POST", own+"/keys", `{"name":"a","kind":"kat_live"}`)
	add(201, "POST", own+"/keys", `{"name":"a","key":"kat_live_a.b"}`)
	add(409, "POST", own+"/keys", `{"name":"a","key":"taken"}`)
	add(404, "POST", gone+"/keys", `{"name":"a"}`)
	add(201, "POST", own+"/keys", `{"name":"a","expires_at":"2027-01-31T12:00:00Z"}`)
	add(201, "POST", own+"/keys/key_1/rotate", `{}`)
	add(201, "POST", own+"/keys/key_1/rotate", `{"overlap_seconds":0}`)
	add(400, "POST", own+"/keys/key_1/rotate", `{"overlap_seconds":-1}`)
	add(404, "POST", own+"/keys/key_2/rotate", `{}`)
	add(409, "POST", own+"/keys/key_ended/rotate", `{}`)
	add(413, "POST", own+"/keys/key_1/rotate", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	add(204, "DELETE", own+"/keys/key_1", "")
	add(404, "DELETE", own+"/keys/key_2", "")
	add(200, "PATCH", own, `{"allowance":{"limits":{"generations_create":500,"usage_summary":-1},"in_flight_jobs":100,"budget_usd":250.5,"included":1000}}`)
	add(200, "PATCH", own, `{"allowance":{"no_budget":true}}`)
	add(200, "GET", own+"/usage?month=2026-05", "")
	add(400, "GET", own+"/usage?month=May", "")
	add(200, "GET", own+"/usage/series?from=2026-06-01", "")
	add(200, "GET", own+"/usage/series", "", asCSV)
	add(400, "GET", own+"/usage/series?from=May", "")
	add(404, "GET", gone+"/usage/series", "")
	add(200, "GET", own+"/billing-events?from=2026-06-01&to=2026-06-15", "", asCSV)
	add(404, "GET", gone+"/usage", "")
	add(200, "GET", own+"/billing-events?limit=2", "")
	add(400, "GET", own+"/billing-events?limit=0", "")
	add(400, "GET", own+"/billing-events?cursor=x", "")
	add(404, "GET", gone+"/billing-events", "")
	add(200, "GET", own+"/webhook-secrets", "")
	add(404, "GET", gone+"/webhook-secrets", "")
	add(201, "POST", own+"/webhook-secrets", `{}`)
	add(201, "POST", own+"/webhook-secrets", `{"secret":"whsec_x","overlap_seconds":0}`)
	add(404, "POST", gone+"/webhook-secrets", `{}`)
	add(200, "GET", own+"/endpoints", "")
	add(404, "GET", gone+"/endpoints", "")
	add(201, "POST", own+"/endpoints", `{"name":"ledger","url":"https://a.example/","headers":{"X-A":"b"}}`)
	add(409, "POST", own+"/endpoints", `{"name":"taken","url":"https://a.example/"}`)
	add(404, "POST", gone+"/endpoints", `{"name":"ledger","url":"https://a.example/"}`)
	add(200, "GET", own+"/endpoints/ep_1", "")
	add(404, "GET", own+"/endpoints/ep_2", "")
	add(200, "PATCH", own+"/endpoints/ep_1", `{"enabled":true,"replay_missed":true}`)
	add(400, "PATCH", own+"/endpoints/ep_1", `{}`)
	add(404, "PATCH", own+"/endpoints/ep_2", `{"enabled":false}`)
	add(409, "PATCH", own+"/endpoints/ep_1", `{"name":"taken"}`)
	add(413, "PATCH", own+"/endpoints/ep_1", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	add(204, "DELETE", own+"/endpoints/ep_1", "")
	add(400, "DELETE", own+"/endpoints/default", "")
	add(404, "DELETE", own+"/endpoints/ep_2", "")
	for _, path := range []string{orgs, own + "/keys", own + "/webhook-secrets", own + "/endpoints"} {
		add(400, "POST", path, `{"unknown":1}`)
		add(413, "POST", path, `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	}
	add(413, "PATCH", own, `{"name":"`+strings.Repeat("x", 1<<20)+`"}`)
	const persons, ada = "/admin/v1/persons", "/admin/v1/persons/" + personOne
	add(200, "GET", persons, "")
	add(200, "GET", ada, "")
	add(404, "GET", persons+"/per_2", "")
	add(200, "PATCH", ada, `{"operator":true}`)
	add(409, "PATCH", ada, `{"operator":false}`)
	add(404, "PATCH", persons+"/per_2", `{"disabled":true}`)
	add(201, "POST", ada+"/reset", "")
	add(404, "POST", persons+"/per_2/reset", "")
	addSessionExchanges(add)
	add(200, "GET", own+"/members", "")
	add(404, "GET", gone+"/members", "")
	add(201, "POST", own+"/members", `{"email":"new@example.com","role":"member"}`)
	add(201, "POST", own+"/members", `{"email":"ada@example.com","role":"owner"}`)
	add(409, "POST", own+"/members", `{"email":"taken@example.com","role":"member"}`)
	add(404, "POST", gone+"/members", `{"email":"new@example.com","role":"member"}`)
	add(204, "PATCH", own+"/members/"+personOne, `{"role":"owner"}`)
	add(409, "PATCH", own+"/members/"+personOne, `{"role":"member"}`)
	add(404, "PATCH", own+"/members/per_2", `{"role":"owner"}`)
	add(204, "DELETE", own+"/members/"+personOne, "")
	add(404, "DELETE", own+"/members/per_2", "")
	add(409, "DELETE", own+"/members/"+personOne, "").config = []func(*Config){func(c *Config) { c.People = fakePeople{full: true} }}
	add(201, "POST", "/admin/v1/setup-link", "")
	add(409, "POST", "/admin/v1/setup-link", "").config = []func(*Config){func(c *Config) { c.People = fakePeople{full: true} }}
	add(200, "GET", "/admin/v1/audit?limit=1&since=2026-06-14T00:00:00Z", "")
	add(400, "GET", "/admin/v1/audit?action=nothing", "")
	for _, path := range []string{ada, own + "/members/" + personOne} {
		add(400, "PATCH", path, `{"unknown":1}`)
		add(413, "PATCH", path, `{"role":"`+strings.Repeat("x", 1<<20)+`"}`)
	}
	add(400, "POST", own+"/members", `{"unknown":1}`)
	add(413, "POST", own+"/members", `{"email":"`+strings.Repeat("x", 1<<20)+`"}`)
	add(200, "GET", "/admin/v1/accounts", "")
	add(200, "GET", "/admin/v1/reviews?limit=1", "")
	add(400, "GET", "/admin/v1/reviews?cursor=x", "")
	const decide = "/admin/v1/reviews/" + taskOne + "/decide"
	add(200, "POST", decide, `{"decision":"approve","outputs":["out_1"],"by":"ana"}`)
	add(200, "POST", decide, `{"decision":"reject","reason":"blurred","by":"ana"}`)
	add(400, "POST", decide, `{"decision":"maybe","by":"ana"}`)
	add(404, "POST", "/admin/v1/reviews/"+generationTwo+"/decide", `{"decision":"approve","by":"ana"}`)
	add(200, "POST", decide, `{"decision":"approve","by":"ana","round":1}`)
	add(409, "POST", decide, `{"decision":"approve","by":"ana","round":0}`)
	add(409, "POST", decide, `{"decision":"approve","by":"late"}`)
	add(413, "POST", decide, `{"by":"`+strings.Repeat("x", 1<<20)+`"}`)
	const masterKey = "/admin/v1/master-key"
	add(200, "GET", masterKey, "")
	add(200, "POST", masterKey+"/rotate", "")
	add(200, "POST", masterKey+"/forget-old", `{"early":true}`)
	add(400, "POST", masterKey+"/forget-old", `{"unknown":1}`)
	add(413, "POST", masterKey+"/forget-old", `{"early":"`+strings.Repeat("x", 1<<20)+`"}`)
	for _, path := range []string{"/rotate", "/forget-old"} {
		add(409, "POST", masterKey+path, "{}").config = []func(*Config){func(c *Config) {
			c.MasterKeys = documentedMasterKeys{kinora.Errorf(kinora.ErrConflict, "other servers do not have it yet")}
		}}
	}
	const generation, delivery = "/admin/v1/generations/", "/admin/v1/deliveries/"
	add(200, "GET", generation+taskOne, "")
	add(404, "GET", generation+generationTwo, "")
	add(200, "GET", generation+taskOne+"/deliveries", "")
	add(404, "GET", generation+"x/deliveries", "")
	addWebhookExchanges(add)
	addOperatorExchanges(add)
	addActingExchanges(add)
	addInstallationExchanges(add)

	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.yaml", "/api/v1/openapi"} {
		add(200, "GET", path, "")
	}
	add(503, "GET", "/readyz", "").before = (*fixture).drain

	// What every route of a kind can answer.
	for _, rt := range newDocumented(t).routes {
		path := target(rt.pattern, documentedIDs)
		if rt.load == operation {
			continue
		}
		add(503, rt.method, path, "").before = func(f *fixture) {
			f.inFlight.most, f.transfers.most, f.inbound.most, f.streams.most, f.operators.most = 0, 0, 0, 0, 0
		}
		if rt.limit != limitNone {
			add(429, rt.method, path, "").before = func(f *fixture) { f.exhaust(rt.limit) }
		}
		switch rt.auth {
		case keyed:
			add(401, rt.method, path, "", key("sk-wrong"))
			add(403, rt.method, path, "", key(disabledKey))
			add(500, rt.method, path, "").config = []func(*Config){func(c *Config) { c.Authenticator = panicking{} }}
			add(503, rt.method, path, "", key(brokenKey))
		case adminned:
			body := "" // where the answer needs one, one that is taken
			switch {
			case strings.HasSuffix(rt.pattern, "/members/{person_id}") && rt.method == "PATCH":
				body = `{"role":"owner"}`
			case rt.pattern == "/admin/v1/persons/{person_id}" && rt.method == "PATCH":
				body = `{"disabled":true}`
			case rt.method == "PATCH":
				body = `{"name":"x"}`
			case rt.pattern == "/admin/v1/replays" && rt.method == "POST":
				body = `{"organisation_id":"x"}`
			case strings.HasSuffix(rt.pattern, "/decide"):
				body = `{"decision":"approve","by":"x"}`
			case strings.HasSuffix(rt.pattern, "/settle"):
				body = `{"upstream_id":"up_1"}`
			case rt.method == "POST":
				body = `{}`
			}
			add(401, rt.method, path, "", key(testKey))
			if rt.pattern == settingsPath || rt.pattern == offerPath {
				continue // asks nobody
			}
			broken := func(err error) []func(*Config) {
				return []func(*Config){func(c *Config) {
					c.Admin, c.MasterKeys, c.Webhooks = documentedAdmin{err: err}, documentedMasterKeys{err}, documentedWebhooks{documentedAdmin{err: err}}
					c.Accounts, c.Reviews, c.Assets = fakeAccounts{err}, fakeReviews{err}, documentedAssets{err}
					c.Operator, c.Installation = documentedOperator{err}, documentedInstallation{err}
					c.People, c.Organisations = fakePeople{err: err}, brokenOrganisations{err}
				}}
			}
			add(500, rt.method, path, body).config = broken(errors.New("x"))
			add(503, rt.method, path, body).config = broken(kinora.Errorf(kinora.ErrUnavailable, "the database is out of reach"))
		}
	}
	return list
}

func (f *fixture) drain() { f.Drain() }

// exhaust empties the buckets of all who send requests here.
func (f *fixture) exhaust(class limitClass) {
	for _, who := range []string{"key_1", "192.0.2.1"} {
		for {
			v, err := f.limits.take(context.Background(), class, share{who, f.limits.limits[class]})
			if err != nil || !v.allowed {
				break
			}
		}
	}
}

type panicking struct{}

func (panicking) Authenticate(context.Context, string) (*kinora.Key, *kinora.Organisation, error) {
	panic("x")
}

// documentedUploads keeps what says "content", and refuses the rest by what it says.
type documentedUploads struct{}

func (u documentedUploads) Save(_ context.Context, _, name, _ string, file io.Reader, rest func() (string, error)) (*kinora.Upload, error) {
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	if rest != nil {
		if _, err := rest(); err != nil {
			return nil, err
		}
	}
	return u.keep(name, string(text))
}

func (u documentedUploads) SaveBase64(ctx context.Context, o, folder string, text io.Reader, rest func() (string, error)) (*kinora.Upload, error) {
	return u.Save(ctx, o, "", folder, text, rest)
}

func (u documentedUploads) SaveURL(_ context.Context, _, _, rawURL string) (*kinora.Upload, error) {
	return u.keep("", rawURL)
}

func (documentedUploads) keep(name, text string) (*kinora.Upload, error) {
	switch text {
	case "bad":
		return nil, kinora.Errorf(kinora.ErrInvalid, "Invalid file data")
	case "large":
		return nil, kinora.Errorf(kinora.ErrTooLarge, "too large")
	}
	return &kinora.Upload{
		ID: strings.Repeat("0123456789abcdef", 2), BlobKey: "temp/demo/2025/12/29/1_a.png", Bytes: int64(len(text)), ContentType: "image/png",
		OriginalName: name, CreatedAt: testTime, ExpiresAt: testTime.Add(72 * time.Hour),
	}, nil
}

func (documentedUploads) URL(u *kinora.Upload) string { return "https://files.example/" + u.BlobKey }
func (documentedUploads) MaxSize() int64              { return 1 << 20 }

// documentedAdmin knows one of everything; err, when set, is what all its methods return.
type documentedAdmin struct{ err error }

func (a documentedAdmin) known(id string, ids ...string) error {
	if a.err != nil {
		return a.err
	}
	for _, k := range ids {
		if id == k {
			return nil
		}
	}
	return kinora.Errorf(kinora.ErrNotFound, "not found")
}

func (documentedAdmin) organisation() *kinora.Organisation {
	return &kinora.Organisation{ID: ownID, Name: "Studio Nord", WebhookHosts: []string{"*.studio.example"}, CreatedAt: testTime}
}

func (documentedAdmin) secret() *kinora.WebhookSecret {
	return &kinora.WebhookSecret{ID: "sec_1", Text: "whsec_x", CreatedAt: testTime}
}

func (documentedAdmin) key() *kinora.Key {
	return &kinora.Key{ID: "key_1", OrganisationID: ownID, Name: "shop", Start: "sk-abc", CreatedAt: testTime, RevokedAt: testTime, ExpiresAt: testTime, ReplacedBy: "key_2"}
}

func (documentedAdmin) delivery() *kinora.Delivery {
	return &kinora.Delivery{ID: documentedIDs["delivery_id"], EventType: kinora.EventFailed, State: kinora.DeliveryDead, CreatedAt: testTime, Attempts: 1}
}

func (a documentedAdmin) Organisations(context.Context) ([]*kinora.Organisation, error) {
	return []*kinora.Organisation{a.organisation()}, a.err
}

func (a documentedAdmin) Organisation(_ context.Context, id string) (*kinora.Organisation, error) {
	return a.organisation(), a.known(id, ownID)
}

func (a documentedAdmin) CreateOrganisation(context.Context, OrganisationChange) (*kinora.Organisation, *kinora.WebhookSecret, error) {
	return a.organisation(), a.secret(), a.err
}

func (a documentedAdmin) UpdateOrganisation(_ context.Context, id string, _ OrganisationChange) (*kinora.Organisation, error) {
	return a.organisation(), a.known(id, ownID)
}

func (a documentedAdmin) Keys(_ context.Context, id string) ([]*kinora.Key, error) {
	return []*kinora.Key{a.key()}, a.known(id, ownID)
}

func (a documentedAdmin) CreateKey(_ context.Context, id, _, _ string, _ time.Time) (*kinora.Key, string, error) {
	return a.key(), "sk-text", a.known(id, ownID)
}

func (a documentedAdmin) ImportKey(_ context.Context, id, _, text string, _ time.Time) (*kinora.Key, error) {
	if text == "taken" {
		return nil, kinora.Errorf(kinora.ErrConflict, "this key is known already")
	}
	return a.key(), a.known(id, ownID)
}

func (a documentedAdmin) RotateKey(_ context.Context, id, keyID string, _ time.Duration) (*kinora.Key, string, error) {
	if keyID == "key_ended" {
		return nil, "", kinora.Errorf(kinora.ErrConflict, "this key has ended, or has been rotated already")
	}
	return a.key(), "sk-text", errors.Join(a.known(id, ownID), a.known(keyID, "key_1"))
}

func (a documentedAdmin) RevokeKey(_ context.Context, id, keyID string) error {
	return errors.Join(a.known(id, ownID), a.known(keyID, "key_1"))
}

func (a documentedAdmin) WebhookSecrets(_ context.Context, id string) ([]kinora.WebhookSecret, error) {
	return []kinora.WebhookSecret{*a.secret()}, a.known(id, ownID)
}

func (a documentedAdmin) RotateWebhookSecret(_ context.Context, id, _ string, _ time.Duration) (*kinora.WebhookSecret, error) {
	return a.secret(), a.known(id, ownID)
}

func (a documentedAdmin) endpoint() *kinora.Endpoint {
	return &kinora.Endpoint{ID: "ep_1", OrganisationID: ownID, Name: "ledger", URL: "https://a.example/", HeaderNames: []string{"X-A"}, CreatedAt: testTime, UpdatedAt: testTime,
		EndpointHealth: kinora.EndpointHealth{DisabledAt: testTime, Reason: kinora.DisabledFailing, MissedSince: testTime}}
}

func (a documentedAdmin) Endpoints(_ context.Context, id string) ([]*kinora.Endpoint, error) {
	return []*kinora.Endpoint{a.endpoint(), {ID: "ep_2", OrganisationID: ownID, CreatedAt: testTime, UpdatedAt: testTime}}, a.known(id, ownID)
}

func (a documentedAdmin) Endpoint(_ context.Context, id, endpointID string) (*kinora.Endpoint, error) {
	return a.endpoint(), errors.Join(a.known(id, ownID), a.known(endpointID, "ep_1"))
}

func (a documentedAdmin) CreateEndpoint(_ context.Context, id string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	return a.UpdateEndpoint(context.Background(), id, "ep_1", c)
}

func (a documentedAdmin) UpdateEndpoint(_ context.Context, id, endpointID string, c kinora.EndpointChange) (*kinora.Endpoint, error) {
	if c.Name != nil && *c.Name == "taken" {
		return nil, kinora.Errorf(kinora.ErrConflict, "another endpoint has this name")
	}
	return a.Endpoint(context.Background(), id, endpointID)
}

func (a documentedAdmin) DeleteEndpoint(_ context.Context, id, endpointID string) error {
	if endpointID == "default" {
		return kinora.Errorf(kinora.ErrInvalid, "the default cannot be removed here")
	}
	return errors.Join(a.known(id, ownID), a.known(endpointID, "ep_1"))
}

func (a documentedAdmin) Generation(_ context.Context, id string) (*kinora.Generation, []kinora.Output, error) {
	g := &kinora.Generation{
		ID: taskOne, Surface: kinora.SurfaceSubmit, Kind: kinora.KindVideo, State: kinora.GenerationFailed, CreatedAt: testTime, UpdatedAt: testTime,
		Failure: kinora.NewFailure(kinora.FailureUpstream, "the upstream failed"),
	}
	return g, nil, a.known(id, taskOne)
}

func (a documentedAdmin) History(ctx context.Context, id string) (*kinora.History, error) {
	g, _, err := a.Generation(ctx, id)
	return &kinora.History{
		Generation: g,
		Outputs: []kinora.Output{
			{ID: "out_1", Role: "primary", State: kinora.OutputPublished, Kind: kinora.KindVideo},
			{ID: "out_2", Attempt: 1, Ordinal: -1, State: kinora.OutputRejected, Kind: kinora.KindVideo, RemovedAt: testTime,
				Verdict: &kinora.Verdict{Score: 0.5, Checks: []kinora.Check{{Name: "min_width", Value: 64, Limit: 512, Detail: "too small"}}}},
		},
		Attempts: []*kinora.Attempt{{GenerationID: taskOne, State: kinora.AttemptFailed, CallbackMode: kinora.CallbackNone, CreatedAt: testTime,
			Failure: kinora.NewFailure(kinora.FailureUpstream, "the upstream failed")}},
		Reviews: []*kinora.Review{{GenerationID: taskOne, OrganisationID: ownID, State: kinora.ReviewRejected, Reason: "blurred", DecidedBy: "ana", CreatedAt: testTime, DecidedAt: testTime}},
		Event:   &kinora.Event{ID: "evt_1", Type: kinora.EventFailed, CreatedAt: testTime},
		Entry:   &kinora.UsageEntry{ID: "bev_1", Type: kinora.UsageGeneration, Billable: true, Amount: 80_000, CreatedAt: testTime},
	}, err
}

func (a documentedAdmin) Origin(context.Context, *kinora.Generation) (*kinora.Origin, error) {
	return &kinora.Origin{By: &kinora.Actor{Kind: kinora.ActorPerson, ID: "per_1", Name: "ada@example.com"}, IdempotencyKey: "order-17",
		Regenerations: []kinora.Relative{{ID: generationTwo, State: kinora.GenerationQueued}}}, a.err
}

func (a documentedAdmin) Deliveries(context.Context, string) ([]*kinora.Delivery, error) {
	return []*kinora.Delivery{a.delivery()}, a.err
}

func (a documentedAdmin) DeliveryAttempts(context.Context, string) ([]kinora.DeliveryAttempt, error) {
	return []kinora.DeliveryAttempt{{Number: 1, StartedAt: testTime, Status: 500, Fault: kinora.FaultHTTP}}, a.err
}
