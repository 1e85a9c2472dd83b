//! The front door: Engine, loader, attach, typed maps, links.
