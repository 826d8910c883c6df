package server

func (s *Server) callbackRoutes() []route { return nil }
