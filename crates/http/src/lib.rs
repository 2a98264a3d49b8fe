//! The HTTP pipes that lmbatch adapters share.
