package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/store/storetest"
)

// What a model was given by address is shown on its page where it is the organisation's own: an upload, a source asset, an output. Others'
// files and addresses elsewhere are not, and nobody but the organisation's people is led to any.
func TestDashboardShowsInputs(t *testing.T) {
	storetest.RunDSN(t, func(t *testing.T, dsn string) {
		a := run(t, dsn, nil)
		organisation := a.Bootstrapped().Organisation.ID
		c := clientOf(t, a, a.Bootstrapped().KeyText)
		otherKey, err := a.NewKey(t.Context(), "Other")
		if err != nil {
			t.Fatal(err)
		}
		upload := func(c *client.Client) string {
			t.Helper()
			u, err := c.UploadStream(t.Context(), "room.png", bytes.NewReader(photo(t, 640, 480)))
			if err != nil {
				t.Fatal(err)
			}
			return u.URL
		}
		first, err := c.Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "a pier"}})
		if err != nil {
			t.Fatal(err)
		}
		made, err := c.Wait(t.Context(), first.ID, client.WaitOptions{})
		if err != nil || len(made.Files) == 0 {
			t.Fatalf("%+v, %v", made, err)
		}
		ingest, err := c.CreateAsset(t.Context(), "room.png", bytes.NewReader(photo(t, 1200, 600)))
		if err == nil {
			_, err = c.WaitAsset(t.Context(), ingest.IngestID)
		}
		if err != nil {
			t.Fatal(err)
		}
		own, others := upload(c), upload(clientOf(t, a, otherKey))
		unsigned, _, _ := strings.Cut(own, "?")
		given := []string{own, others, "https://example.com/x.png", unsigned, made.Files[0].URL, assetAddress(t, a.LocalURL()+"/admin/v1/organisations/"+organisation+"/source-assets", a.AdminToken())}
		task, err := c.Submit(t.Context(), client.SubmitRequest{Model: "sandbox-image", Input: client.Input{Prompt: "a pier at night", Images: given}})
		if err != nil {
			t.Fatal(err)
		}

		member := newcomer(t, a, organisation, "member@example.com", kinora.RoleMember)
		path := "/dashboard/o/" + organisation + "/generations/" + task.ID
		_, _, body := member.get(path)
		other, err := a.NewOrganisation(t.Context(), "Third")
		if err != nil {
			t.Fatal(err)
		}
		stranger := newcomer(t, a, other, "stranger@example.com", kinora.RoleOwner)
		for i, shown := range []bool{true, false, false, false, true, true} {
			input := fmt.Sprintf("%s/inputs/%d", path, i+1)
			want := http.StatusNotFound
			if shown {
				want = http.StatusOK
			}
			if strings.Contains(body, `"`+input+`"`) != shown {
				t.Errorf("input %d is on the page: %v", i+1, !shown)
			}
			if status, _, _ := member.get(input); status != want {
				t.Errorf("input %d: %d", i+1, status)
			}
			for _, as := range []string{organisation, other} {
				if status, _, _ := stranger.get(strings.Replace(input, organisation, as, 1)); status != http.StatusNotFound {
					t.Errorf("a stranger's look at input %d: %d", i+1, status)
				}
			}
		}
		if !strings.Contains(body, "PNG, 1200 × 600") {
			t.Error("the page does not say what the source asset is")
		}
	})
}

// assetAddress is the signed address of the newest source asset of a list.
func assetAddress(t *testing.T, list, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, list, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		SourceAssets []struct {
			URL string `json:"url"`
		} `json:"source_assets"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.SourceAssets) == 0 {
		t.Fatalf("%+v, %v", answer, err)
	}
	return answer.SourceAssets[0].URL
}
