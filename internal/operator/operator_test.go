package operator_test

import (
	"testing"
	"time"

	"github.com/kinora/kinora"
	"github.com/kinora/kinora/internal/operator"
	"github.com/kinora/kinora/internal/store"
	"github.com/kinora/kinora/internal/store/storetest"
)

func exec(t *testing.T, db *store.DB, text string, args ...any) {
	t.Helper()
	if err := db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(text, args...); return err }); err != nil {
		t.Fatal(err)
	}
}

// What is stored is summed up once a minute, however often it is asked for; what is free is asked each time.
func TestStorageIsSummedUpOnceAMinute(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		now, free := time.Now(), uint64(100)
		s := operator.New(operator.Config{DB: db, Folder: "files", Now: func() time.Time { return now }, Free: func(string) (uint64, bool) { return free, true }})
		upload := func(id string) {
			exec(t, db, `INSERT INTO uploads (id, organisation_id, blob_key, kind, content_type, bytes, original_name, created_at, expires_at)
				VALUES (?, 'org_1', ?, 'image', 'image/png', 7, '', 1, 1)`, id, id)
		}
		ask := func() *kinora.StorageUse {
			use, err := s.Storage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return use
		}
		upload("a")
		if use := ask(); (use.Uploads != kinora.FilesKept{Files: 1, Bytes: 7}) || use.Free != 100 || use.Folder != "files" || use.Database != db.Name() || use.DatabaseBytes == 0 || !use.At.Equal(now) {
			t.Errorf("%+v", use)
		}
		upload("b")
		free = 50
		if use := ask(); use.Uploads.Files != 1 || use.Free != 50 {
			t.Errorf("at once: %+v", use)
		}
		now = now.Add(time.Minute)
		if use := ask(); use.Uploads.Files != 2 {
			t.Errorf("a minute later: %+v", use)
		}
		bucket := operator.New(operator.Config{DB: db, Bucket: "outputs"})
		if use, err := bucket.Storage(t.Context()); err != nil || use.Free != -1 || use.Bucket != "outputs" {
			t.Errorf("%+v, %v", use, err)
		}
	})
}

func TestQueuesTellWhoAnswers(t *testing.T) {
	storetest.Run(t, func(t *testing.T, db *store.DB) {
		exec(t, db, `INSERT INTO nodes (id, started_at, beat_at) VALUES ('node_1', 1, 1), ('node_2', 2, 2)`)
		s := operator.New(operator.Config{DB: db, Node: "node_2", Silent: func() map[string]time.Duration { return map[string]time.Duration{"node_1": time.Second} }, Settings: []kinora.Setting{{Key: "listen"}}})
		q, err := s.Queues(t.Context())
		if err != nil || len(q.Nodes) != 2 || q.Nodes[0].Answers || !q.Nodes[1].Answers || q.Nodes[0].Silent != time.Second || q.Nodes[1].Silent != 0 {
			t.Errorf("%+v, %v", q, err)
		}
		if len(s.Settings()) != 1 {
			t.Error("the settings are lost")
		}
	})
}
