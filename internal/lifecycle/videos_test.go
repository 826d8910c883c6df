package lifecycle_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func withVideos(c *lifecycle.Config) {
	c.Models = append(c.Models, kinora.Model{Name: "fake-video", Kind: kinora.KindVideo, Provider: "fake"})
}

func TestVideosAreListedReadAndDeleted(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), withVideos).start(t)
		wanted := submission("a boat")
		wanted.Model = "fake-video"
		var ids []string
		for range 3 {
			g := h.accept(t, wanted)
			ids = append(ids, g.ID)
			h.await(t, g.ID)
		}
		picture, _ := h.await(t, h.accept(t, submission("x")).ID)

		list := func(page kinora.VideoPage) (got []string, more bool) {
			t.Helper()
			videos, more, err := h.Videos(t.Context(), organisation, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range videos {
				got = append(got, v.Generation.ID)
				if len(v.Outputs) != 1 || v.ExpiresAt.Before(time.Now()) {
					t.Errorf("%s has outputs %+v until %s", v.Generation.ID, v.Outputs, v.ExpiresAt)
				}
			}
			return got, more
		}
		newest := []string{ids[2], ids[1], ids[0]}
		for _, c := range []struct {
			page kinora.VideoPage
			want []string
			more bool
		}{
			{kinora.VideoPage{Limit: 3}, newest, false},
			{kinora.VideoPage{Limit: 2}, newest[:2], true},
			{kinora.VideoPage{Limit: 2, After: ids[1]}, newest[2:], false},
			{kinora.VideoPage{Limit: 2, Ascending: true}, ids[:2], true},
			{kinora.VideoPage{Limit: 2, Ascending: true, After: ids[2]}, nil, false},
		} {
			if got, more := list(c.page); !slices.Equal(got, c.want) || more != c.more {
				t.Errorf("%+v lists %v, more %t", c.page, got, more)
			}
		}
		missing := func(organisation, id string) {
			t.Helper()
			if _, err := h.Video(t.Context(), organisation, id); kinora.CodeOf(err) != kinora.ErrNotFound {
				t.Errorf("reading %s says %v", id, err)
			}
			if err := h.DeleteVideo(t.Context(), organisation, id); kinora.CodeOf(err) != kinora.ErrNotFound {
				t.Errorf("deleting %s says %v", id, err)
			}
		}
		missing(organisation, picture.ID)
		missing("org_other", ids[0])
		if videos, _, err := h.Videos(t.Context(), "org_other", kinora.VideoPage{Limit: 9}); err != nil || len(videos) != 0 {
			t.Errorf("another organisation sees %v %v", videos, err)
		}
		if _, _, err := h.Videos(t.Context(), organisation, kinora.VideoPage{Limit: 9, After: picture.ID}); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("a page after a picture says %v", err)
		}

		_, outputs, err := h.Generation(t.Context(), organisation, ids[1])
		if err != nil {
			t.Fatal(err)
		}
		if err := h.DeleteVideo(t.Context(), organisation, ids[1]); err != nil {
			t.Fatal(err)
		}
		missing(organisation, ids[1])
		if got, _ := list(kinora.VideoPage{Limit: 9}); !slices.Equal(got, []string{ids[2], ids[0]}) {
			t.Errorf("after the delete %v are listed", got)
		}
		if got, _ := list(kinora.VideoPage{Limit: 9, After: ids[1]}); !slices.Equal(got, ids[:1]) {
			t.Errorf("after the deleted one come %v", got)
		}
		if _, err := h.blob.Open(t.Context(), outputs[0].BlobKey); err == nil {
			t.Error("the deleted video's file is still there")
		}
		if known, left, err := h.Generation(t.Context(), organisation, ids[1]); err != nil || known.State != kinora.GenerationSucceeded || len(left) != 0 {
			t.Errorf("the record of the deleted one: %+v, %v, %v", known, left, err)
		}
		if ev, usage, _ := h.ledger(t, ids[1]); ev != 1 || usage != 1 {
			t.Errorf("the deleted one has %d events and %d usage entries", ev, usage)
		}
		h.stop()
	})
}

// Whoever deletes a video that goes on wants it no more: it is cancelled.
func TestDeletingARunningVideoCancelsIt(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		up := newFake(t)
		up.took = time.Hour
		h := build(t, db, t.TempDir(), up, withVideos).start(t)
		wanted := submission("a boat")
		wanted.Model = "fake-video"
		g := h.accept(t, wanted)
		eventually(t, "it runs", func() bool {
			v, err := h.Video(t.Context(), organisation, g.ID)
			return err == nil && v.Generation.State == kinora.GenerationRunning && v.ExpiresAt.IsZero()
		})
		if err := h.DeleteVideo(t.Context(), organisation, g.ID); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the upstream is told", func() bool { return up.cancels() == 1 })
		if _, err := h.Video(t.Context(), organisation, g.ID); kinora.CodeOf(err) != kinora.ErrNotFound {
			t.Errorf("it is still there: %v", err)
		}
		if ev, usage, _ := h.ledger(t, g.ID); ev != 1 || usage != 0 {
			t.Errorf("%d events and %d usage entries", ev, usage)
		}
		h.stop()
	})
}

// A cached answer shares the files of the video that it repeats: deleting one of the two leaves the other's, in whatever
// order they go.
func TestDeletingAVideoSparesFilesThatOthersShare(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		organise(t, db)
		h := build(t, db, t.TempDir(), newFake(t), withVideos).start(t)
		for round, order := range [][]int{{0, 1}, {1, 0}} {
			wanted := staged(fmt.Sprint("fp", round))
			wanted.Model = "fake-video"
			made, files := h.await(t, h.accept(t, wanted).ID)
			hit, err := h.AcceptCached(t.Context(), wanted)
			if err != nil || hit == nil {
				t.Fatalf("%+v, %v", hit, err)
			}
			ids := []string{made.ID, hit.Generation.ID}
			there := func() bool {
				f, err := h.blob.Open(t.Context(), files[0].BlobKey)
				if err == nil {
					_ = f.Close()
				}
				return err == nil
			}
			for n, i := range order {
				if err := h.DeleteVideo(t.Context(), organisation, ids[i]); err != nil {
					t.Fatal(err)
				}
				if last := n == len(order)-1; there() == last {
					t.Fatalf("order %v: after the delete of %d the file is there: %t", order, i, there())
				} else if last {
					continue
				}
				other := ids[1-i]
				if v, err := h.Video(t.Context(), organisation, other); err != nil || len(v.Outputs) != 1 {
					t.Errorf("order %v: the other one reads %+v, %v", order, v, err)
				}
			}
			if got, err := h.AcceptCached(t.Context(), wanted); got != nil || err != nil {
				t.Errorf("a deleted video was given out: %+v, %v", got, err)
			}
		}
		h.stop()
	})
}
