BEGIN TRANSACTION;
CREATE TABLE addresses (
	network_id VARCHAR(64) NOT NULL, 
	ip VARCHAR(45) NOT NULL, 
	instance_id VARCHAR(64) NOT NULL, 
	PRIMARY KEY (network_id, ip), 
	FOREIGN KEY(network_id) REFERENCES networks (id), 
	FOREIGN KEY(instance_id) REFERENCES instances (id)
);
INSERT INTO "addresses" VALUES('5ca1ab1e-2222-4000-8000-000000000001','10.0.2.1','00000000-0000-4000-8000-000000000001');
INSERT INTO "addresses" VALUES('5ca1ab1e-2222-4000-8000-000000000001','10.0.2.4','00000000-0000-4000-8000-000000000004');
INSERT INTO "addresses" VALUES('5ca1ab1e-2222-4000-8000-000000000001','10.0.2.5','00000000-0000-4000-8000-000000000005');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE flavors (
	id VARCHAR(255) NOT NULL, 
	name VARCHAR(255), 
	document TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (name)
);
INSERT INTO "flavors" VALUES('1','m1.small','{"type":"Flavor","version":1,"data":{"id":"1","name":"m1.small","vcpus":1,"ram":512,"disk":3,"extra_specs":{}}}');
CREATE TABLE forwards (
	host VARCHAR(255) NOT NULL, 
	port INTEGER NOT NULL, 
	instance_id VARCHAR(64) NOT NULL, 
	PRIMARY KEY (host, port), 
	FOREIGN KEY(instance_id) REFERENCES instances (id)
);
INSERT INTO "forwards" VALUES('host-1',20001,'00000000-0000-4000-8000-000000000001');
INSERT INTO "forwards" VALUES('host-2',20004,'00000000-0000-4000-8000-000000000004');
INSERT INTO "forwards" VALUES('host-1',20005,'00000000-0000-4000-8000-000000000005');
CREATE TABLE generations (
	instance_id VARCHAR(64) NOT NULL, 
	number INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (instance_id, number), 
	FOREIGN KEY(instance_id) REFERENCES instances (id)
);
INSERT INTO "generations" VALUES('00000000-0000-4000-8000-000000000001',1,'{"type":"Generation","version":1,"data":{"number":1,"uuid":"5ca1ab1e-0000-4000-8000-000000000001","made_at":"2026-03-01T12:00:00Z","receipt":{"channel":"config_drive","reason":"the operator forces a config drive","items":[],"drive_digest":"0000000000000000000000000000000000000000000000000000000000000000","drive_size":2048,"drive_format":"iso9660","back_end":null,"filesystem":null,"passed_over":[]},"ingredients":{"key_id":"0123456789abcdef","nonce":"bm5ubm5ubm5ubm5u","ciphertext":"Y2lwaGVydGV4dA=="},"policy":null}}');
CREATE TABLE hosts (
	name VARCHAR(255) NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "hosts" VALUES('host-1','{"type":"HostFacts","version":1,"data":{"name":"host-1","hypervisor":"QEMU","hypervisor_version":"7.2.0","arch":"x86_64","vcpus":4,"memory_mib":8192,"disk_gib":100,"virt":{"virt_type":"qemu","cpu_mode":"max","reason":"no /dev/kvm on this host","proven":false},"policy":{"force_config_drive":true,"inject_partition":-2,"inject_key":false,"inject_password":false,"undeliverable":"refuse","drive_format":"iso9660","linux_password":"given","drive_password":true},"carriages":[{"channel":"config_drive","kinds":["devices","metadata","user_data","hostname","key","password","network","file"],"any_mode":false,"back_ends":[]}],"guests":0,"reported_at":"2026-03-01T12:00:00Z","availability_zone":"nova","back_ends":[]}}');
INSERT INTO "hosts" VALUES('host-2','{"type":"HostFacts","version":1,"data":{"name":"host-2","hypervisor":"QEMU","hypervisor_version":"7.2.0","arch":"x86_64","vcpus":2,"memory_mib":8192,"disk_gib":100,"virt":{"virt_type":"qemu","cpu_mode":"max","reason":"no /dev/kvm on this host","proven":false},"policy":{"force_config_drive":true,"inject_partition":-2,"inject_key":false,"inject_password":false,"undeliverable":"refuse","drive_format":"iso9660","linux_password":"given","drive_password":true},"carriages":[{"channel":"config_drive","kinds":["devices","metadata","user_data","hostname","key","password","network","file"],"any_mode":false,"back_ends":[]}],"guests":0,"reported_at":"2026-03-01T12:00:00Z","availability_zone":"east","back_ends":[]}}');
CREATE TABLE image_facts (
	sha256 VARCHAR(64) NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (sha256)
);
INSERT INTO "image_facts" VALUES('0000000000000000000000000000000000000000000000000000000000000000','{"type":"ImageFacts","version":1,"data":{"table":"gpt","partitions":[{"number":1,"start":1048576,"size":1073741824,"type":"0fc63daf-8483-4772-8e79-3d69d8477de4","name":null,"filesystem":"ext4","label":"root","uuid":null}],"root":{"partition":1,"start":1048576,"size":1073741824,"filesystem":"ext4","found_by":"partition 1, by its label","volume":null},"os":"debian","os_version":"12","init":"systemd","network":["netplan"],"agent":"yes","agent_seen":"/usr/bin/cloud-init","selinux":null,"back_end":"ext","doubt":null}}');
CREATE TABLE images (
	id VARCHAR(64) NOT NULL, 
	owner VARCHAR(64) NOT NULL, 
	created_at VARCHAR(40) NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "images" VALUES('5ca1ab1e-1111-4000-8000-000000000001','engines','2026-03-01T12:00:00+00:00','{"type":"Image","version":1,"data":{"id":"5ca1ab1e-1111-4000-8000-000000000001","name":"debian-12","disk_format":"qcow2","owner":"engines","created_at":"2026-03-01T12:00:00Z","status":"active","size":314572800,"virtual_size":2147483648,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","min_disk":0,"min_ram":0,"properties":{}}}');
CREATE TABLE instances (
	id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	state VARCHAR(32) NOT NULL, 
	host VARCHAR(255), 
	vcpus INTEGER NOT NULL, 
	ram INTEGER NOT NULL, 
	created_at VARCHAR(40) NOT NULL, 
	updated_at VARCHAR(40) NOT NULL, 
	revision INTEGER NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "instances" VALUES('00000000-0000-4000-8000-000000000001','engines','web','active','host-1',1,512,'2026-03-01T12:00:00+00:00','2026-11-30T11:22:55.839055+00:00',1,'{"type":"Instance","version":1,"data":{"id":"00000000-0000-4000-8000-000000000001","name":"web","hostname":"web","project_id":"engines","user_id":"ada","reservation_id":"r-12345678","image":{"id":"5ca1ab1e-1111-4000-8000-000000000001","name":"debian-12","disk_format":"qcow2","owner":"engines","created_at":"2026-03-01T12:00:00Z","status":"active","size":314572800,"virtual_size":2147483648,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","min_disk":0,"min_ram":0,"properties":{}},"flavor":{"id":"1","name":"m1.small","vcpus":1,"ram":512,"disk":3,"extra_specs":{}},"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-11-30T11:22:55.839055Z","payload":null,"kernel":null,"ramdisk":null,"key":null,"more_keys":[],"metadata":{},"asked_metadata":{},"items":[],"nics":[{"mac":"fa:16:3e:00:00:01","network":{"id":"5ca1ab1e-2222-4000-8000-000000000001","name":"lab","kind":"user","project_id":"engines","source":null,"mtu":null,"subnets":[{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null}],"forwards":[]},"addresses":[{"subnet":{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null},"ip":"10.0.2.1"}],"tag":null}],"disk_tag":null,"forwards":[{"mac":"fa:16:3e:00:00:01","guest_port":22,"host_port":20001}],"config_drive":false,"availability_zone":"nova","launch_index":0,"state":"active","host":"host-1","attempt":1,"tried":[],"plan":null,"receipt":null,"generation":1,"inserted":0,"generations_made":1,"refresh":null,"guest":{"state":"unknown","detail":"","witness":null,"at":null},"fault":null,"marks":[],"launched_at":"2026-03-01T12:00:00Z","terminated_at":null,"request_id":"req-1","findings":[],"revision":1}}');
INSERT INTO "instances" VALUES('00000000-0000-4000-8000-000000000002','engines','web','error','host-1',0,0,'2026-03-01T12:00:00+00:00','2026-11-30T11:22:55.859275+00:00',1,'{"type":"Instance","version":1,"data":{"id":"00000000-0000-4000-8000-000000000002","name":"web","hostname":"web","project_id":"engines","user_id":"ada","reservation_id":"r-12345678","image":{"id":"5ca1ab1e-1111-4000-8000-000000000001","name":"debian-12","disk_format":"qcow2","owner":"engines","created_at":"2026-03-01T12:00:00Z","status":"active","size":314572800,"virtual_size":2147483648,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","min_disk":0,"min_ram":0,"properties":{}},"flavor":{"id":"1","name":"m1.small","vcpus":1,"ram":512,"disk":3,"extra_specs":{}},"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-11-30T11:22:55.859275Z","payload":null,"kernel":null,"ramdisk":null,"key":null,"more_keys":[],"metadata":{},"asked_metadata":{},"items":[],"nics":[{"mac":"fa:16:3e:00:00:02","network":{"id":"5ca1ab1e-2222-4000-8000-000000000001","name":"lab","kind":"user","project_id":"engines","source":null,"mtu":null,"subnets":[{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null}],"forwards":[]},"addresses":[{"subnet":{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null},"ip":"10.0.2.2"}],"tag":null}],"disk_tag":null,"forwards":[{"mac":"fa:16:3e:00:00:02","guest_port":22,"host_port":20002}],"config_drive":false,"availability_zone":"nova","launch_index":0,"state":"error","host":"host-1","attempt":1,"tried":[],"plan":null,"receipt":null,"generation":0,"inserted":0,"generations_made":0,"refresh":null,"guest":{"state":"unknown","detail":"","witness":null,"at":null},"fault":{"code":500,"message":"no space","at":"2026-03-01T12:00:00Z"},"marks":[],"launched_at":null,"terminated_at":null,"request_id":"req-1","findings":[],"revision":1}}');
INSERT INTO "instances" VALUES('00000000-0000-4000-8000-000000000003','engines','web','deleted','host-1',0,0,'2026-03-01T12:00:00+00:00','2026-11-30T11:22:55.878792+00:00',2,'{"type":"Instance","version":1,"data":{"id":"00000000-0000-4000-8000-000000000003","name":"web","hostname":"web","project_id":"engines","user_id":"ada","reservation_id":"r-12345678","image":{"id":"5ca1ab1e-1111-4000-8000-000000000001","name":"debian-12","disk_format":"qcow2","owner":"engines","created_at":"2026-03-01T12:00:00Z","status":"active","size":314572800,"virtual_size":2147483648,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","min_disk":0,"min_ram":0,"properties":{}},"flavor":{"id":"1","name":"m1.small","vcpus":1,"ram":512,"disk":3,"extra_specs":{}},"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-11-30T11:22:55.878792Z","payload":null,"kernel":null,"ramdisk":null,"key":null,"more_keys":[],"metadata":{},"asked_metadata":{},"items":[],"nics":[{"mac":"fa:16:3e:00:00:03","network":{"id":"5ca1ab1e-2222-4000-8000-000000000001","name":"lab","kind":"user","project_id":"engines","source":null,"mtu":null,"subnets":[{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null}],"forwards":[]},"addresses":[{"subnet":{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null},"ip":"10.0.2.3"}],"tag":null}],"disk_tag":null,"forwards":[{"mac":"fa:16:3e:00:00:03","guest_port":22,"host_port":20003}],"config_drive":false,"availability_zone":"nova","launch_index":0,"state":"deleted","host":"host-1","attempt":1,"tried":[],"plan":null,"receipt":null,"generation":0,"inserted":0,"generations_made":0,"refresh":null,"guest":{"state":"unknown","detail":"","witness":null,"at":null},"fault":null,"marks":[],"launched_at":null,"terminated_at":"2026-03-01T12:00:00Z","request_id":"req-1","findings":[],"revision":2}}');
INSERT INTO "instances" VALUES('00000000-0000-4000-8000-000000000004','engines','web','building','host-2',2,1024,'2026-03-01T12:00:00+00:00','2026-03-01T12:00:00+00:00',0,'{"type":"Instance","version":1,"data":{"id":"00000000-0000-4000-8000-000000000004","name":"web","hostname":"web","project_id":"engines","user_id":"ada","reservation_id":"r-12345678","image":{"id":"5ca1ab1e-1111-4000-8000-000000000001","name":"debian-12","disk_format":"qcow2","owner":"engines","created_at":"2026-03-01T12:00:00Z","status":"active","size":314572800,"virtual_size":2147483648,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","min_disk":0,"min_ram":0,"properties":{}},"flavor":{"id":"1","name":"m1.small","vcpus":2,"ram":1024,"disk":0,"extra_specs":{}},"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-03-01T12:00:00Z","payload":null,"kernel":null,"ramdisk":null,"key":null,"more_keys":[],"metadata":{},"asked_metadata":{},"items":[],"nics":[{"mac":"fa:16:3e:00:00:04","network":{"id":"5ca1ab1e-2222-4000-8000-000000000001","name":"lab","kind":"user","project_id":"engines","source":null,"mtu":null,"subnets":[{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null}],"forwards":[]},"addresses":[{"subnet":{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null},"ip":"10.0.2.4"}],"tag":null}],"disk_tag":null,"forwards":[{"mac":"fa:16:3e:00:00:04","guest_port":22,"host_port":20004}],"config_drive":false,"availability_zone":"nova","launch_index":0,"state":"building","host":"host-2","attempt":1,"tried":[],"plan":null,"receipt":null,"generation":0,"inserted":0,"generations_made":0,"refresh":null,"guest":{"state":"unknown","detail":"","witness":null,"at":null},"fault":null,"marks":[],"launched_at":null,"terminated_at":null,"request_id":"req-1","findings":[],"revision":0}}');
INSERT INTO "instances" VALUES('00000000-0000-4000-8000-000000000005','engines','web','error','host-1',1,512,'2026-03-01T12:00:00+00:00','2026-11-30T11:22:55.936248+00:00',2,'{"type":"Instance","version":1,"data":{"id":"00000000-0000-4000-8000-000000000005","name":"web","hostname":"web","project_id":"engines","user_id":"ada","reservation_id":"r-12345678","image":{"id":"5ca1ab1e-1111-4000-8000-000000000001","name":"debian-12","disk_format":"qcow2","owner":"engines","created_at":"2026-03-01T12:00:00Z","status":"active","size":314572800,"virtual_size":2147483648,"sha256":"0000000000000000000000000000000000000000000000000000000000000000","min_disk":0,"min_ram":0,"properties":{}},"flavor":{"id":"1","name":"m1.small","vcpus":1,"ram":512,"disk":3,"extra_specs":{}},"created_at":"2026-03-01T12:00:00Z","updated_at":"2026-11-30T11:22:55.936248Z","payload":null,"kernel":null,"ramdisk":null,"key":null,"more_keys":[],"metadata":{},"asked_metadata":{},"items":[],"nics":[{"mac":"fa:16:3e:00:00:05","network":{"id":"5ca1ab1e-2222-4000-8000-000000000001","name":"lab","kind":"user","project_id":"engines","source":null,"mtu":null,"subnets":[{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null}],"forwards":[]},"addresses":[{"subnet":{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null},"ip":"10.0.2.5"}],"tag":null}],"disk_tag":null,"forwards":[{"mac":"fa:16:3e:00:00:05","guest_port":22,"host_port":20005}],"config_drive":false,"availability_zone":"nova","launch_index":0,"state":"error","host":"host-1","attempt":1,"tried":[],"plan":null,"receipt":null,"generation":0,"inserted":0,"generations_made":0,"refresh":null,"guest":{"state":"unknown","detail":"","witness":null,"at":null},"fault":null,"marks":[],"launched_at":"2026-03-01T12:00:00Z","terminated_at":null,"request_id":"req-1","findings":[],"revision":2}}');
CREATE TABLE keypairs (
	user_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (user_id, name)
);
INSERT INTO "keypairs" VALUES('ada','laptop','{"type":"KeyPair","version":1,"data":{"name":"laptop","public_key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICsNenn6AbD79LkttOwDsp/BOMw452gOC7j+O8ywx9nb ada@example","fingerprint":"aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99","user_id":"ada","created_at":"2026-03-01T12:00:00Z","type":"ssh"}}');
CREATE TABLE networks (
	id VARCHAR(64) NOT NULL, 
	project_id VARCHAR(64) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	document TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "networks" VALUES('5ca1ab1e-2222-4000-8000-000000000001','engines','lab','{"type":"Network","version":1,"data":{"id":"5ca1ab1e-2222-4000-8000-000000000001","name":"lab","kind":"user","project_id":"engines","source":null,"mtu":null,"subnets":[{"cidr":"10.0.2.0/24","dhcp":false,"gateway":"10.0.2.2","dns":["10.0.2.3"],"pool_first":"10.0.2.15","pool_last":"10.0.2.99","routes":[],"ipv6_mode":null}],"forwards":[]}}');
CREATE TABLE payloads (
	instance_id VARCHAR(64) NOT NULL, 
	key_id VARCHAR(64) NOT NULL, 
	nonce BLOB NOT NULL, 
	ciphertext BLOB NOT NULL, 
	PRIMARY KEY (instance_id), 
	FOREIGN KEY(instance_id) REFERENCES instances (id)
);
INSERT INTO "payloads" VALUES('00000000-0000-4000-8000-000000000001','0123456789abcdef',X'6E6E6E6E6E6E6E6E6E6E6E6E',X'63697068657274657874');
INSERT INTO "payloads" VALUES('00000000-0000-4000-8000-000000000002','0123456789abcdef',X'6E6E6E6E6E6E6E6E6E6E6E6E',X'63697068657274657874');
INSERT INTO "payloads" VALUES('00000000-0000-4000-8000-000000000004','0123456789abcdef',X'6E6E6E6E6E6E6E6E6E6E6E6E',X'63697068657274657874');
INSERT INTO "payloads" VALUES('00000000-0000-4000-8000-000000000005','0123456789abcdef',X'6E6E6E6E6E6E6E6E6E6E6E6E',X'63697068657274657874');
CREATE TABLE ports (
	mac VARCHAR(17) NOT NULL, 
	network_id VARCHAR(64) NOT NULL, 
	instance_id VARCHAR(64) NOT NULL, 
	PRIMARY KEY (mac), 
	FOREIGN KEY(network_id) REFERENCES networks (id), 
	FOREIGN KEY(instance_id) REFERENCES instances (id)
);
INSERT INTO "ports" VALUES('fa:16:3e:00:00:01','5ca1ab1e-2222-4000-8000-000000000001','00000000-0000-4000-8000-000000000001');
INSERT INTO "ports" VALUES('fa:16:3e:00:00:04','5ca1ab1e-2222-4000-8000-000000000001','00000000-0000-4000-8000-000000000004');
INSERT INTO "ports" VALUES('fa:16:3e:00:00:05','5ca1ab1e-2222-4000-8000-000000000001','00000000-0000-4000-8000-000000000005');
CREATE INDEX ix_images_owner ON images (owner);
CREATE INDEX ix_networks_project_id ON networks (project_id);
CREATE INDEX instances_by_project ON instances (project_id, created_at, id);
CREATE INDEX instances_by_state ON instances (state, updated_at);
CREATE INDEX ix_ports_network_id ON ports (network_id);
CREATE INDEX ix_ports_instance_id ON ports (instance_id);
CREATE INDEX ix_addresses_instance_id ON addresses (instance_id);
CREATE INDEX ix_forwards_instance_id ON forwards (instance_id);
CREATE INDEX instances_by_host ON instances (host, state, vcpus, ram);
COMMIT;
