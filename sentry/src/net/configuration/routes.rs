//! Routes that somebody makes.

use netlink_packet_route::route::{RouteScope, RouteType};

use super::{NetworkConfiguration, Refusal, State, Thing};
use crate::Errno;
use crate::net::route::{Route, RouteQuery};

/// Most routes of a namespace.
const MAX_ROUTES: usize = 4096;

/// What becomes of a route whose place is taken (NLM_F_EXCL, NLM_F_REPLACE, NLM_F_CREATE, NLM_F_APPEND of `man 7 netlink`).
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteCreation {
    /// It may be made.
    pub creates: bool,
    /// Its place has to be free.
    pub is_exclusive: bool,
    /// It takes the place of the one that is there.
    pub replaces: bool,
    /// It goes behind the one that is there.
    pub appends: bool,
}

/// Which route is meant: what is `None` does not matter.
#[derive(Clone, Debug)]
pub struct RoutePattern {
    /// Destination, table and type of service; a metric of 0 is any.
    pub route: Route,
    /// What it does; [`RouteType::Unspec`] for anything.
    pub kind: RouteType,
}

impl NetworkConfiguration {
    /// Puts a route into its table.
    ///
    /// # Errors
    /// EEXIST, ENOENT if it may not be made, ENODEV, ENETDOWN for a link that is down, ENETUNREACH or EINVAL for a router that nobody
    /// can reach, EINVAL for a source that is nobody's, ENOBUFS.
    pub fn add_route(&self, route: Route, creation: RouteCreation) -> Result<(), Refusal> {
        self.change(|state| state.add_route(route, creation))
    }

    /// Takes the first route that `pattern` tells out of its table.
    ///
    /// # Errors
    /// ESRCH.
    pub fn delete_route(&self, pattern: &RoutePattern) -> Result<(), Refusal> {
        self.change(|state| {
            let found =
                state.routes.iter().find(|route| pattern.is_of(route)).cloned().ok_or(Errno::ESRCH)?;
            state.routes.extract(|route| *route == found);
            state.note_gone(Thing::Route(found));
            Ok(())
        })
    }
}

impl RoutePattern {
    fn is_of(&self, other: &Route) -> bool {
        let Self { route, kind } = self;
        (route.destination, route.table, route.tos) == (other.destination, other.table, other.tos)
            && (*kind == RouteType::Unspec || *kind == other.kind)
            && (route.metric == 0 || route.metric == other.metric)
            && route.device.is_none_or(|device| other.device == Some(device))
            && route.gateway.is_none_or(|gateway| other.gateway == Some(gateway))
            && route.preferred_source.is_none_or(|source| other.preferred_source == Some(source))
    }
}

impl State {
    fn add_route(&mut self, route: Route, creation: RouteCreation) -> Result<(), Refusal> {
        let route = self.complete(route)?;
        let way = |route: &Route| route.is_ipv6().then_some((route.device, route.gateway));
        let there: Vec<Route> = self.routes.at_place_of(&route).cloned().collect();
        let is_way_taken = there.iter().any(|other| way(other) == way(&route));
        match creation {
            RouteCreation { is_exclusive: true, .. } if !there.is_empty() => return Err(Errno::EEXIST.into()),
            RouteCreation { replaces: true, .. } if !there.is_empty() => {
                self.routes.extract(|other| there.contains(other));
            }
            _ if there.contains(&route) || is_way_taken && !creation.appends => {
                return Err(Errno::EEXIST.into());
            }
            RouteCreation { creates: false, .. } => return Err(Errno::ENOENT.into()),
            _ => {}
        }
        if self.routes.len() >= MAX_ROUTES {
            return Err(Errno::ENOBUFS.into());
        }
        self.check_room()?;
        self.routes.insert(route.clone());
        self.note(Thing::Route(route));
        Ok(())
    }

    /// Fills in what the caller left out, and checks the rest.
    fn complete(&self, mut route: Route) -> Result<Route, Refusal> {
        if route.is_refusal() {
            let is_through = route.device.is_some() || route.gateway.is_some();
            if is_through && !route.is_ipv6() {
                return Err(Refusal::new(Errno::EINVAL, "Routes that refuse have no device and no gateway"));
            }
            return Ok(Route { device: None, gateway: None, ..route });
        }
        if let Some(gateway) = route.gateway {
            route.device = Some(self.device_towards(&route, gateway)?);
        }
        let device = route.device.ok_or(Refusal::new(Errno::ENODEV, "Device does not exist"))?;
        let link = self.devices.get(device)?;
        if !link.is_up() {
            return Err(Refusal::new(Errno::ENETDOWN, "Device for nexthop is not up"));
        }
        if let Some(source) = route.preferred_source
            && self.lookup().address_kind(source) != RouteType::Local
        {
            return Err(Refusal::new(Errno::EINVAL, "Invalid prefsrc address"));
        }
        if !route.is_ipv6() && route.gateway.is_none() && route.kind == RouteType::Local {
            route.scope = RouteScope::Host;
        }
        Ok(route)
    }

    /// The link through which a route reaches its router.
    fn device_towards(&self, route: &Route, gateway: std::net::IpAddr) -> Result<u32, Refusal> {
        let query = RouteQuery { device: route.device, ..RouteQuery::to(gateway) };
        let found = self
            .lookup()
            .route(&query)
            .map_err(|_| Refusal::new(Errno::ENETUNREACH, "Nexthop has invalid gateway"))?;
        if found.kind != RouteType::Unicast {
            return Err(Refusal::new(Errno::EINVAL, "Nexthop has invalid gateway"));
        }
        // A router is nearer than what lies behind it: another router does not lead to it.
        let is_near = |way: &Route| {
            way.gateway.is_none() && (way.is_ipv6() || u8::from(way.scope) > u8::from(route.scope))
        };
        if !found.route.as_ref().is_none_or(is_near) {
            return Err(Refusal::new(Errno::ENETUNREACH, "Nexthop has invalid gateway"));
        }
        Ok(found.device)
    }
}
