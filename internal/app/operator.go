package app

import (
	"github.com/kinora/kinora/internal/lifecycle"
	"github.com/kinora/kinora/internal/operator"
	"github.com/kinora/kinora/internal/server"
)

// operating is what operators look at and do, from the services that own it.
type operating struct {
	*lifecycle.Engine
	*operator.Service
}

var _ server.Operator = operating{}

func (a *App) wireOperator(node string) {
	c := operator.Config{DB: a.db, Node: node, Bucket: a.cfg.Storage.S3.Bucket, Free: freeSpace, Silent: a.engine.SilentNodes, Settings: a.cfg.Settings(a.opts.Origins)}
	if c.Bucket == "" {
		c.Folder = a.cfg.StorageFolder()
	}
	a.operating = operating{a.engine, operator.New(c)}
}
