package browsertest_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/kinora/kinora/client"
	"github.com/kinora/kinora/internal/config"
	"github.com/kinora/kinora/internal/dashboard/browsertest"
)

// From the queue through what waits by keys alone: a look at large, another primary output, approved; the next one opens by itself and is
// rejected with a reason in which no key is taken away. What somebody else decides meanwhile is told.
func TestReviews(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "shop.yaml"), []byte("name: shop\nextends: staging\nreview: true\nrounds: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSite(t, func(c *config.Config) { c.WorkflowsDir = folder })
	p := s.owner(t)
	p.Go(s.path("/reviews"))
	p.See("Nothing waits for a review")
	p.AccessibleInBoth()

	var ids []string
	for range 3 {
		made, err := s.client.CreateFromFile(t.Context(), client.GenerationRequest{Workflow: "shop", CaptureType: "photo", Mode: "clean"}, "room.jpg", bytes.NewReader(room(t, 900, 640)))
		if err != nil {
			t.Fatal(err)
		}
		p.Has("#review-" + made.JobID) // it arrives by itself, so that the order is known
		ids = append(ids, made.JobID)
	}
	p.AccessibleInBoth()
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(1280, 900)

	p.Press("Start reviewing")
	p.At(s.path("/reviews/" + ids[0]))
	p.Until("the pictures", "[...document.querySelectorAll('.review-media .shot img')].length === 3 && [...document.querySelectorAll('.review-media .shot img')].every((i) => i.complete && i.naturalWidth > 0)")
	p.AccessibleInBoth()
	p.Picture("review")
	p.Size(360, 740)
	p.FitsWidth()
	p.Size(1280, 900)
	p.Click(".review-candidate [command=show-modal]")
	p.Has("dialog.dialog-large[open]")
	p.Accessible()
	p.Type("a") // a dialog is open: no decision
	p.Type(kb.Escape)
	p.Gone("dialog[open]")

	p.Type("j")
	p.At(s.path("/reviews/" + ids[1]))
	p.Type("k")
	p.At(s.path("/reviews/" + ids[0]))
	p.Type("2")
	second := browsertest.Eval[string](p, `document.querySelector("[name=primary]:checked").value`)
	browsertest.Eval[any](p, `document.querySelector("[name=alternate][value='']").click()`)
	p.Type("a")
	p.At(s.path("/reviews/" + ids[1]))
	p.SeeIn("#flash", "is approved")
	p.Go(s.path("/generations/" + ids[0]))
	p.Has("#out-" + second)
	if n := browsertest.Eval[int](p, `document.querySelectorAll("#gen-media .shot").length`); n != 1 {
		t.Errorf("%d outputs are published", n)
	}
	p.Go(s.path("/reviews/" + ids[1]))

	p.Type("r")
	p.Has("#reject[open]")
	p.Accessible()
	p.Type("a jar, raja") // every key of the page is in it
	p.Click("#reject .button-danger")
	p.At(s.path("/reviews/" + ids[2]))
	p.SeeIn("#flash", "is rejected, and has failed")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.LocalURL()+"/admin/v1/reviews/"+ids[2]+"/decide", strings.NewReader(`{"decision":"reject","reason":"blurred","by":"grace@example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.AdminToken())
	r.Header.Set("Content-Type", "application/json")
	if answer, err := http.DefaultClient.Do(r); err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", answer, err)
	}
	p.SeeIn("#review-news", "grace@example.com has rejected it")
	p.SeeIn("#review-news", "blurred")
	p.Gone("#review-bar button")
	p.Accessible()
	p.Go(s.path("/generations/" + ids[1]))
	p.See("a jar, raja")
}
